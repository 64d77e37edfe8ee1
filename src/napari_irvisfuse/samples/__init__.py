"""Sample data made by code: nothing to download, nothing to licence."""
