"""Hidden tokens of a sentence told with the help of its translation (Conneau & Lample 2019, section 3.3).

START sentence END translation END, masked on both sides: where the sentence does not say what is hidden, the
translation may, so the model learns to look across. The text is running text whose documents are a sentence and, on the
next line, its translation; a document of one line is read alone, as plain masked text, so that both kinds mix in one
file. Positions go on through the translation; in the paper they begin anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from henkan.data.documents import Documents
from henkan.data.plan import Lengths
from henkan.data.sequences import Sequenced, collate_sequences
from henkan.errors import DataError
from henkan.tasks.pretraining import Masking, paired
from henkan.tensors import Batch
from henkan.text.marks import Marks


class MaskedTranslations:
    """A reading, see :class:`henkan.tasks.pretraining.Reading`. An example is a document.

    Args:
        longest: tokens of an example, marks included; of what is longer, the longer side loses its end first.

    Raises:
        DataError: a document has more than two lines.
    """

    def __init__(self, documents: Documents, masking: Masking, marks: Marks, longest: int) -> None:
        self.documents = documents
        self.masking = masking
        self.marks = marks
        lines = np.diff(documents.starts)
        if len(wrong := np.flatnonzero(lines > 2)):
            raise DataError(
                f"document {wrong[0] + 1:,} of the text has {lines[wrong[0]]:,} lines; expected a sentence, its "
                "translation on the next line, and an empty line"
            )
        self._paired = lines == 2
        sizes = np.diff(documents.lines)
        first, second = sizes[documents.starts[:-1]], np.where(self._paired, sizes[documents.starts[1:] - 1], 0)
        room = longest - self._around()
        self._second = np.minimum(second, np.maximum(room // 2, room - first))
        self._first = np.minimum(first, room - self._second)

    def lengths(self) -> Lengths:
        """With the marks."""
        sizes = self._first + self._second + self._around()
        return Lengths(sizes, np.zeros_like(sizes))

    def _around(self) -> np.ndarray:
        """Marks of each example."""
        return np.where(self._paired, self.marks.around_pair, 2)

    def example(self, index: int, rng: np.random.Generator) -> Sequenced:
        """One document; segment 1 is the translation."""
        line = int(self.documents.starts[index])
        first = self.documents.line(line)[: self._first[index]]
        second = self.documents.line(line + 1)[: self._second[index]] if self._paired[index] else None
        ids, segments = paired(first, second, self.marks)
        noisy, labels = self.masking.apply(ids, index, rng)
        return Sequenced(index, noisy, segments, {"tokens": labels})

    def collate(self, examples: Sequence[Sequenced]) -> Batch:
        """Several."""
        return collate_sequences(examples, self.marks.pad)

    def place(self, index: int) -> int:
        """The first token of a document in the text."""
        return int(self.documents.lines[self.documents.starts[index]])
