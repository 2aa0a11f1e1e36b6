"""Messages of older bridges: the requests that their programs expect, and the failures that their users subscribe to.
Pure. Bodies are opaque: nothing that PHP has serialised is ever unserialised.
"""
