"""The embedded data set: shapes that wear the texture of their class."""
