"""Reference implementations for the course *Unrolled*: recurrent networks by hand, in NumPy.

Layers are pure functions over named parameters. ``forward`` returns its result and a cache;
``backward`` takes the cache and one gradient for every output, and returns one for every input.
"""

__version__ = "0.1.0"
