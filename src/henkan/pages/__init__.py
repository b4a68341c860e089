"""Self-contained HTML pages: no script, no font, no request; light or dark as the reader has it; they fit a phone.

``markup`` has the pieces, ``charts`` curves as inline SVG, ``document`` puts a page around them.
"""
