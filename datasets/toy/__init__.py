"""The embedded data set: shapes filled with the texture of their class."""
