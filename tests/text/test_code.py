"""Code comes back from subwords as it was: names, strings and signs are what is right or wrong about it."""

import pytest

from henkan.text.learning import learn
from henkan.text.tokenizer import TokenizerConfig

LINES = [
    "raise ImproperlyConfigured ( \"You must define a '%s' cache\" % DEFAULT_CACHE_ALIAS )",
    "location = kwargs . pop ( 'LOCATION' , '' )",
    "__slots__ = [ '_x1' , \"\\n\\t\" , u'\\u00e9' , r'^[\\w.@+-]+$' ]",
    "x = y ** 2 if a != b else ~ c | ( d << 10 ) // 3.14e-05",
    "@ property",
    "return '<a href=\"%s\">%s</a>' % ( url , escape ( force_text ( value ) ) )",
]
DESCRIPTIONS = ["remove 'LOCATION' key from kwargs dictionary and put it into location", "try,"]


@pytest.mark.parametrize("size", [120, 300])
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_decoding_gives_the_line_back(kind: str, size: int):
    tokenizer = learn(TokenizerConfig(kind=kind, vocabulary=size), LINES * 20 + DESCRIPTIONS * 20)
    assert tokenizer.decode(tokenizer.encode(LINES)) == LINES
