"""Words that tell nothing about which world or what scene is meant."""

_WORDS = """
a an and at for from game i in into like me my of on or play please run some start the this to walk want with world
worlds
"""
STOP_WORDS = frozenset(_WORDS.split())
