"""Every purpose that random numbers are drawn for.

A purpose is one field of a stream's key, so that no two uses share numbers. Whoever changes a value changes
the results of every experiment.
"""

from enum import IntEnum, unique


@unique
class Stream(IntEnum):
    """The purpose of a draw. Values are unique whatever the other fields of the key are."""

    # fold(texture seed, purpose, ...): inside one texture
    EXEMPLAR_PLACE = 1
    FIELD = 2
    TILE = 3
    CANDIDATE = 4
    TURNED_SQUARES = 5

    # fold(seed, purpose, label, number): the embedded data set
    TOY_TRAIN = 0xE0
    TOY_SAME = 0xE1
    TOY_CUE_CONFLICT = 0xE2
    TOY_NEW_TEXTURES = 0xE3
    TOY_SILHOUETTES = 0xE4
    TOY_LINE_DRAWINGS = 0xE5
    TOY_NOISE = 0xE6
    TOY_BLUR = 0xE7
    TOY_CONTRAST = 0xE8
    TOY_PIXELATE = 0xE9
    TOY_BIASED = 0xEA

    # fold(seed, epoch, purpose, ...): negatives, the order of an epoch, augmentation
    PATCHES = 0x9A7C
    LIVE_TEXTURES = 0x7E47
    MIXTURE = 0x3C1D
    EPOCH_ORDER = 0x0DE5
    VIEWS = 0x71E3

    # fold(seed, purpose): the start of training
    KEY_QUEUE = 0x0E0E
    NETWORK = 0x1417
    MEMORY_BANK = 0xBA2C

    # fold(seed, step, number, purpose): the order of keys on their way through batch normalisation
    KEY_SHUFFLE = 0x5F1E

    # fold(seed, step, number, purpose): the side of the views of a pass
    RESOLUTION = 0x4E50

    # fold(seed, step, purpose): the keys of a batch or a memory bank that are the negatives of a step
    KEY_CHOICE = 0xC401

    # fold(seed, step, process, part, purpose): synthetic negatives
    SYNTHETIC = 0x5E17

    # fold(number of images, purpose): the sample of the k-nearest-neighbour accuracy during training
    ONLINE_KNN = 0x4EA2

    # fold(seed, purpose, ...): evaluation
    SIMILARITY_SAMPLE = 0x73696D69
    VALIDATION_SPLIT = 0x73706C69
    BOOTSTRAP = 0x626F6F74
    HEAD = 0x68656164
    LABEL_SHARE = 0x73686172
    SHAPE_BIAS_BOOTSTRAP = 0x73686170
    CONSISTENCY_BOOTSTRAP = 0x6B617070
    ROBUSTNESS_BOOTSTRAP = 0x6C696E65
    RANK_BOOTSTRAP = 0x72616E6B

    # fold(seed, purpose, place, number): views, floor and folds of an audit
    AUDIT = 0x61756474

    # fold(purpose, number): tell: filters, folds, resamples
    TELL = 0x74656C6C

    # fold(seed, purpose, corruption, severity, key): the corruption of an image; fold(purpose, number): frost
    CORRUPTION = 0x636F7272
    FROST = 0x66726F73

    # fold(seed, purpose, suppression, key): the suppression of a feature of an image
    SUPPRESSION = 0x73757070

    # fold(seed, purpose, key): cue sets, the order of images, their textures and the squares of these;
    # fold(seed, purpose): the pairs of classes
    CUE_ORDER = 0x63756F72
    CUE_TEXTURE = 0x63757478
    CUE_SQUARES = 0x63757371
    CUE_PAIRS = 0x63757072
