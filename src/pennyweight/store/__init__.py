"""What outlives the process: database, blobs, and one repository per noun. SQL lives in this room alone.

`Database` runs pieces of SQL in transactions; a repository (`projects`, `generations`, ...) is a class of
small methods that take the connection first and the project second: what belongs to another project does not
exist. Nothing here is imported by `penny run`.
"""
