"""What keeps a store in shape: which flush or compaction runs next, how its result becomes part of the tree, and
what maintenance calls answer.
"""
