"""Which files of a source are samples, of which class and which split."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import repeat

from cache.commandline.printable import printable
from cache.failures import Failure, UsageFailure
from engine.images.formats import HEAD_BYTES, has_image_name, image_format
from engine.sources.base import Fields, Listing, Sample, SourceOptions
from engine.sources.folder_tree import components
from engine.sources.folders import FolderReading, read_folders
from engine.sources.labels import label_pattern, spelling_remarks, suggestion, suspicions, tidy
from engine.sources.samples import Samples

# The kinds of file that are ignored whatever they hold.
SYSTEM_FILE, REPLACED = "hidden or system files", "replaced by a later one of that name"

# Folders that systems put beside the user's files.
_SYSTEM = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"})


def ignored_kind(name: str, head: Callable[[], bytes]) -> str | None:
    """Return which kind of ignored file one is; None for an image, by its name or its content.

    name: its path with `/`. Files in hidden or system folders are ignored, and so are the `._`
        files that macOS writes beside others.
    head: gives its first HEAD_BYTES bytes; not called where the name tells.
    """
    *folders, base = components(name) or [""]
    if base.startswith("._") or any(map(_is_passed_over, folders)):
        return SYSTEM_FILE
    if has_image_name(base) or image_format(head()[:HEAD_BYTES]) is not None:
        return None
    stem, dot, suffix = base.rpartition(".")
    if not stem:
        return SYSTEM_FILE if dot else "without suffix"
    return f".{suffix.lower()}"


def _is_passed_over(folder: str) -> bool:
    return folder in _SYSTEM or (folder.startswith(".") and folder != "..")


def climbs(name: str) -> bool:
    """Return whether a path goes up somewhere, and so maybe out of its source."""
    return ".." in name.split("/")


def listing(
    names: Iterable[str],
    options: SourceOptions,
    ignored_kinds: Mapping[str, int] | None = None,
    fields: Mapping[str, Fields] | None = None,
    guesses: Sequence[str] = (),
) -> Listing:
    """Return a source's samples in the order of `names`, with their labels and splits.

    fields: what the source itself says of its images, by their names; it goes before what their
        folders say, unless the options want another.
    guesses: lines to begin with.

    Raises:
        UsageFailure: the options want labels that are not there.
        Failure: folders may be classes or splits.
    """
    names = list(names)
    lines = [*guesses]
    labels, splits = list[str | None](), list[str | None]()
    if fields and options.labels != "folder":
        absent = Fields(None)
        labels = [fields.get(name, absent).label for name in names]
        if options.splits != "none":
            splits = [fields.get(name, absent).split for name in names]
    elif options.labels == "column":
        raise UsageFailure("no table, and no file beside the images, has labels here")
    by_folder = not labels and options.labels in (None, "folder")
    if by_folder or (options.splits != "none" and not any(splits)):
        reading = _by_folders(names, options, needed=by_folder)
        places = [reading.places[_folder(name)] for name in names]
        labels = labels or [label for label, _ in places]
        splits = splits if any(splits) else [split for _, split in places]
        lines += reading.guesses
    if options.pattern is not None:
        labels, line = labels_by_pattern(options.pattern, names)
        lines.append(line)
    of_each = repeat(None) if options.labels == "none" or not labels else labels
    rows = map(Sample, names, of_each, splits or repeat(None))
    result = listing_of(rows, ignored_kinds or {}, lines)
    return replace(result, warnings=()) if options.labels == "none" else result


def _by_folders(names: Sequence[str], options: SourceOptions, *, needed: bool) -> FolderReading:
    """Return what folders say. Where no labels hang on it, what cannot be decided is no split."""
    folders = {_folder(name) for name in names}
    try:
        return read_folders(folders, options.splits, options.name)
    except Failure:
        if needed:
            raise
        return read_folders(folders, "none", options.name)


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def labels_by_pattern(text: str, names: Sequence[str]) -> tuple[list[str | None], str]:
    """Return the label of each path by a regular expression, and a line that says how many match.

    Raises:
        UsageFailure: it is none, has not just one group, or matches none of the paths.
    """
    pattern = label_pattern(text)
    matches = [pattern.search(name) for name in names]
    labels = [match[1] if match else None for match in matches]
    count = sum(label is not None for label in labels)
    if names and not count:
        raise UsageFailure(
            f"none of the {len(names):,} paths matches {printable(text, 80)}; the first is "
            f"{printable(names[0])}"
        )
    shown = printable(text, 80)
    return labels, f"{count:,} of {len(names):,} paths match {shown}; its group is the label"


def listing_of(
    rows: Iterable[Sample],
    ignored_kinds: Mapping[str, int],
    guesses: Iterable[str],
) -> Listing:
    """Return samples with their labels in one form each, and what looks wrong with them."""
    samples = Samples(rows)
    spellings = {label for label in samples.label_counts() if label is not None}
    forms = {label: tidy(label) for label in spellings}
    samples = samples.renamed(forms)
    warnings = _warnings(samples, {form for form in forms.values() if form is not None})
    return Listing(
        samples, dict(ignored_kinds), (*guesses, *spelling_remarks(spellings)), tuple(warnings)
    )


def _warnings(samples: Samples, classes: set[str]) -> list[str]:
    labelled = len(samples) - samples.label_counts()[None]
    if not classes and samples:
        hint = suggestion(_to_train_on(samples))
        return ["no image has a label" + (f"; {hint}" if hint else "")]
    warnings = suspicions(classes)
    if len(classes) == 1:
        (label,) = classes
        hint = suggestion(_to_train_on(samples))
        of_one = f"all images with a label are of one class: {printable(label, 40)}"
        warnings.append(of_one + (f"; {hint}" if hint else ""))
    if len(classes) > max(20, labelled // 2):
        warnings.append(f"{len(classes):,} classes for {labelled:,} images: are these labels?")
    return warnings


def _to_train_on(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield the paths that labels would come from: those to train on, where splits are known."""
    training = [sample for sample in samples if sample.split == "train"]
    return (sample.path for sample in training or samples)
