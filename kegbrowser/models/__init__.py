"""What the views show, in memory only: nothing here reads a disk or a network."""
