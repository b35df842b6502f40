"""The tables of revision 0001, one file per noun."""
