"""Families of classes: CIFAR-100's twenty coarse labels, five classes each."""

from collections.abc import Sequence

_CIFAR100 = {
    "aquatic_mammals": "beaver dolphin otter seal whale",
    "fish": "aquarium_fish flatfish ray shark trout",
    "flowers": "orchid poppy rose sunflower tulip",
    "food_containers": "bottle bowl can cup plate",
    "fruit_and_vegetables": "apple mushroom orange pear sweet_pepper",
    "household_electrical_devices": "clock keyboard lamp telephone television",
    "household_furniture": "bed chair couch table wardrobe",
    "insects": "bee beetle butterfly caterpillar cockroach",
    "large_carnivores": "bear leopard lion tiger wolf",
    "large_man-made_outdoor_things": "bridge castle house road skyscraper",
    "large_natural_outdoor_scenes": "cloud forest mountain plain sea",
    "large_omnivores_and_herbivores": "camel cattle chimpanzee elephant kangaroo",
    "medium_mammals": "fox porcupine possum raccoon skunk",
    "non-insect_invertebrates": "crab lobster snail spider worm",
    "people": "baby boy girl man woman",
    "reptiles": "crocodile dinosaur lizard snake turtle",
    "small_mammals": "hamster mouse rabbit shrew squirrel",
    "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "vehicles_1": "bicycle bus motorcycle pickup_truck train",
    "vehicles_2": "lawn_mower rocket streetcar tank tractor",
}
"""Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009."""

_FAMILY_OF = {name: family for family, names in _CIFAR100.items() for name in names.split()}


def families_of(class_names: Sequence[str]) -> tuple[str, ...]:
    """The family of each class, K names; empty where the classes are not those of CIFAR-100."""
    if set(class_names) != set(_FAMILY_OF):
        return ()
    return tuple(_FAMILY_OF[name] for name in class_names)


def named_as_cifar100(class_names: Sequence[str]) -> bool:
    """Whether every class has the name of a class or of a family of CIFAR-100."""
    return set(class_names) <= set(_FAMILY_OF) | set(_CIFAR100)
