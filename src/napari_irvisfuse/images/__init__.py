"""Images: reading and writing them, and what both must satisfy before they are fused."""
