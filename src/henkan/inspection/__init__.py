"""What goes on inside a model: arrays first, then pictures of them.

    gradients     errors on their way back through time            long_range   tasks that need them to arrive
    embeddings    sentences as points of a plane                   attention    who looked at what
    pictures      any of these as PNG (matplotlib)                 pages        the same as self-contained HTML

Models have no switches for this: cells are wrapped, modules are hooked, and always on a copy.
"""
