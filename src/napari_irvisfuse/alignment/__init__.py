"""Whether two images lie on each other, and how the infrared one has to be moved until they do."""
