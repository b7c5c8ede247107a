"""Names that speak of a split: `training_set`, `seg_test`, `val`, `test1`, `train-00-of-02`."""

import re
from collections.abc import Sequence

TRAIN, VALIDATION, TEST = SIDES = ("train", "validation", "test")

# A split whose name says that nobody knows its labels.
UNLABELLED = "unlabelled"

_WORDS = {
    **dict.fromkeys(("train", "training", "trn"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "evaluation"), VALIDATION),
    **dict.fromkeys(("test", "testing", "tst", "holdout"), TEST),
    **dict.fromkeys(("pred", "prediction", "predictions", "predict"), UNLABELLED),
    **dict.fromkeys(("unlabeled", "unlabelled", "unsup"), UNLABELLED),
}

# Words beside it that say nothing: `train_images`, `seg_train`, `single_prediction`.
_FILLERS = frozenset(
    {"set", "sets", "split", "image", "images", "img", "imgs", "picture", "pictures", "pic"}
    | {"pics", "photo", "photos", "data", "dataset", "seg", "single", "jpg", "jpeg", "png", "files"}
)

_GLUED = re.compile("(.+?)(?:set|data|images|imgs)")


def side_of(name: str) -> str | None:
    """Return which of SIDES, or UNLABELLED, the name of a folder or a value speaks of, or None.

    All of the name has to: `train` does, `train_station` does not.
    """
    words = _words(name)
    sides = {_side(word) for word in words if word not in _FILLERS}
    return sides.pop() if len(sides) == 1 else None


def side_of_file(name: str) -> str | None:
    """Return the same for a file of a data set in pieces, whose name may say more."""
    sides = {side for word in _words(name) if (side := _side(word))}
    return sides.pop() if len(sides) == 1 else None


def without_common_words(names: Sequence[str]) -> list[str]:
    """Return names without the words that all of them have: `cats_train` and `cats_test`.

    The names as they are, if nothing would be left of one.
    """
    words = [_words(name) for name in names]
    common = set(words[0]).intersection(*words[1:]) if len(words) > 1 else set()
    rests = [" ".join(word for word in each if word not in common) for each in words]
    return rests if all(rests) else list(names)


def is_filler(name: str) -> bool:
    """Return whether the name of a folder says nothing of what is in it: `images`."""
    words = _words(name)
    return bool(words) and all(word in _FILLERS for word in words)


def _words(name: str) -> list[str]:
    # Humps as well: `TrainImages`.
    return re.findall("[a-z]+|[^\\W\\d_a-z]+", re.sub("([a-z])([A-Z])", r"\1 \2", name).lower())


def _side(word: str) -> str | None:
    if word not in _WORDS and (glued := _GLUED.fullmatch(word)):
        word = glued[1]
    return _WORDS.get(word)
