import re
from collections import Counter

from tinyscope.data.families import families_of, named_as_cifar100

CIFAR100 = re.findall(
    r"\w+",
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
    crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
    keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse
    mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy
    porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper
    snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television
    tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
    """,
)


def test_every_class_of_cifar_100_has_one_of_twenty_families_of_five():
    families = families_of(CIFAR100)
    assert sorted(Counter(families).values()) == [5] * 20
    of = dict(zip(CIFAR100, families, strict=True))
    assert (of["whale"], of["rocket"], of["spider"]) == (
        "aquatic_mammals",
        "vehicles_2",
        "non-insect_invertebrates",
    )


def test_other_classes_have_no_families():
    assert families_of(("cat", "dog")) == ()
    assert families_of(CIFAR100[:-1]) == ()


def test_names_of_classes_and_families_are_known_as_those_of_cifar100():
    assert named_as_cifar100(CIFAR100)
    assert named_as_cifar100(["apple", "trees", "wolf"])
    assert not named_as_cifar100([*CIFAR100, "cat"])
    assert not named_as_cifar100(["airplane", "automobile", "bird"])
