"""The command `penny`: one file per command, each thin over `pennyweight.Engine` and the rooms below."""
