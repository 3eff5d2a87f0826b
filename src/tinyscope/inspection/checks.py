"""The table of checks: for each code what it looks for, how bad that is, and what to do."""

from typing import NamedTuple


class Check(NamedTuple):
    """What a code stands for; `docs/checks.md` says more of each."""

    title: str
    """What was found, as a heading."""
    severity: str
    """ "error": figures would be wrong; "warning": a model would be worse; "note": worth a look."""
    why: str
    """Why it matters, in a sentence."""
    remedy: str
    """What to do about it, in a sentence."""


CHECKS: dict[str, Check] = {
    "TS001": Check(
        "Files that cannot be read",
        "warning",
        "They are left out of every count, so the data set is smaller than its folder looks.",
        "Save them anew from their source, or delete them.",
    ),
    "TS002": Check(
        "Odd files: misnamed, animated, or in no class folder",
        "note",
        "Other programs go by the ending and fail; of an animation one frame is used; a file "
        "without a class is not used at all.",
        "Rename or move them, or export single pictures.",
    ),
    "TS003": Check(
        "Images of an unusual size or shape",
        "warning",
        "They are cut and resized, so they look coarser, or lack their margins.",
        "See whether what matters is still on them.",
    ),
    "TS004": Check(
        "Images of an unusual colour mode",
        "warning",
        "A model may learn the mode instead of the subject, and colours may have suffered.",
        "Convert them as the others were, or see that every class has its share.",
    ),
    "TS005": Check(
        "Exact copies within a class",
        "warning",
        "An image that is there twice counts twice.",
        "Keep one of each.",
    ),
    "TS006": Check(
        "Near copies within a class",
        "note",
        "Shots of one thing make a data set look larger than it is.",
        "Keep one of each, unless the difference is what should be learnt.",
    ),
    "TS007": Check(
        "Copies with different labels",
        "error",
        "One of the two labels is wrong, or the picture shows both classes.",
        "Exclude both, or correct the wrong label.",
    ),
    "TS008": Check(
        "Copies on both sides of a split",
        "error",
        "A model is examined on what it has learnt by heart: test figures come out too high.",
        "Exclude the training image, and quote accuracy without leaked test images.",
    ),
    "TS009": Check(
        "Blank images",
        "warning",
        "There is nothing on them that the label could be learnt from.",
        "Exclude them.",
    ),
    "TS010": Check(
        "Images that are too dark or too bright",
        "warning",
        "What they show lies in a few grey levels at the end of the range.",
        "Expose them anew, or exclude them.",
    ),
    "TS011": Check(
        "Blurred images",
        "note",
        "They lack the detail that the others have.",
        "Keep them if photos to be classified will be blurred too, else exclude them.",
    ),
    "TS012": Check(
        "Images with little information",
        "warning",
        "A gradient, a dot or noise shows no class.",
        "Exclude them.",
    ),
    "TS013": Check(
        "Classes too small for their split",
        "error",
        "Figures of a class with a handful of images say next to nothing.",
        "Add images, or join classes.",
    ),
    "TS014": Check(
        "Classes of unequal size",
        "note",
        "A model leans to the large classes, and accuracy hides it.",
        'Use balanced accuracy, and try class_weights = "balanced".',
    ),
    "TS015": Check(
        "Labels that are probably wrong",
        "warning",
        "A model learns the errors, and test figures count right answers as wrong.",
        "Look at them one by one; the proposal is a model's.",
    ),
    "TS016": Check(
        "Shortcuts: a property gives the label away",
        "error",
        "A model learns the property, and fails where photos come without it.",
        "Take the property away, or collect images of every class with it.",
    ),
    "TS017": Check(
        "Augmentations that do not fit",
        "warning",
        "They make images look like another class, or like none.",
        "Leave them out of the recipe.",
    ),
    "TS018": Check(
        "File names of a kind that one class has alone",
        "note",
        "No model sees a file name, but such classes often come from sources of their own, and "
        "their pictures then differ in more than the class.",
        "Look whether the class's pictures were made, cut or saved in another way.",
    ),
}
"""By code, in the order of a page. A code never changes its meaning; new ones follow."""
