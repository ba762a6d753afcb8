"""What keeps a store in shape: which flush or compaction runs next, and how its result becomes part of the tree."""
