"""The stores that are compared, one file each."""
