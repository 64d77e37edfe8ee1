"""Sparse coding: images as few atoms of a dictionary, of patches or convolutional; and how dictionaries are learnt."""
