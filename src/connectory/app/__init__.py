"""The composition root: the only place where the objects of a node are made and joined.

Each module makes the parts of one area out of those before it: `core`, `hosting`, `calling`,
`working`, `interface`. `node` joins them, and `serving` lets them live and end together.
"""

from connectory.app.node import Node, compose
from connectory.app.serving import serve

__all__ = ["Node", "compose", "serve"]
