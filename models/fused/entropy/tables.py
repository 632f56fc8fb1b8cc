"""What the entropy model's kernels take: arrays that belong together, and columns of tables.

A table is an array of int64 with a row for each task, level or source; columns have names.
"""

from __future__ import annotations

from typing import NamedTuple

from givre.models.compiled.types import Doubles1, Floats1, Floats2, Integers2, Integers3

(
    TASK_START,
    TASK_WIDTH,
    TASK_STRIDE,
    TASK_FEATURES,
    TASK_MAP,
    TASK_PLANE,
    TASK_MAP_STRIDE,
    TASK_FIRST,
    TASK_LAST,
    TASK_GRID,
    TASK_OWN_START,
    TASK_OWN_END,
    TASK_GRADIENT,
    TASK_FIRST_SOURCE,
    TASK_END_SOURCE,
) = range(15)
"""Columns of a task, some rows of a grid.

START: index of the grid's first latent in the flat buffer of latents.
WIDTH: columns of the grid.
STRIDE: distance between its rows, padding included.
FEATURES: features that its contexts have, 0 or F.
MAP: where its first feature map begins, in the flat buffer of maps.
PLANE: distance between its feature maps.
MAP_STRIDE: distance between the rows of a feature map.
FIRST, LAST: the task's first row, which is even, and the one after its last.
GRID: number of the grid.
OWN_START, OWN_END: where the task's gradient is in the flat buffer of those.
GRADIENT: where the grid's gradient begins in the flat buffer of gradients.
FIRST_SOURCE, END_SOURCE: the grid's rows in the table of sources, the latter excluded.
"""

N_TASK_COLUMNS = 15

(
    LEVEL_HEIGHT,
    LEVEL_WIDTH,
    LEVEL_MAIN,
    LEVEL_STRIDE,
    LEVEL_HYPER,
    LEVEL_MAIN_INPUT,
    LEVEL_HYPER_INPUT,
    LEVEL_MAP,
    LEVEL_MAP_STRIDE,
    LEVEL_PLANE,
) = range(10)
"""Columns of a level of an extractor's pyramid; what does not exist is -1.

HEIGHT, WIDTH: of its grids.
MAIN: index of the main grid's first latent in the flat buffer of latents.
STRIDE: distance between the rows of its grids, padding included.
HYPER: index of the hyper grid's first latent.
MAIN_INPUT, HYPER_INPUT: columns of the extractor's weight that belong to the two grids.
MAP: where the first feature's map begins, in the flat buffer of maps.
MAP_STRIDE: distance between the rows of a map.
PLANE: distance between the maps of two features.
"""

N_LEVEL_COLUMNS = 10

SOURCE_MAP, SOURCE_MAP_STRIDE, SOURCE_PLANE, SOURCE_EXTRACTOR, SOURCE_INPUT = range(5)
"""Columns of a source: the maps of an extractor on the level of a grid that they are made of.

MAP: where the first feature's map begins, in the flat buffer of maps.
MAP_STRIDE: distance between the rows of a map.
PLANE: distance between the maps of two features.
EXTRACTOR: its number.
INPUT: column of the extractor's weight that belongs to the grid.
"""

N_SOURCE_COLUMNS = 5


class RateTables(NamedTuple):
    """Where everything is; the tables depend on geometry alone.

    Attributes:
        tasks: (n, 15), columns TASK_..., a grid's tasks from its top to its bottom.
        neighbours: (grids, n_spatial), where the spatial neighbours are, relative to a latent.
        sources: (m, 5), columns SOURCE_...
        levels: (extractors, L - 1, 10), columns LEVEL_..., from the level of the features to the
            coarsest. Later extractors have fewer levels; the rows beyond them are -1.
    """

    tasks: Integers2
    neighbours: Integers2
    sources: Integers2
    levels: Integers3


class RateInputs(NamedTuple):
    """What contexts are made of.

    Attributes:
        latents: padded grids, flat.
        maps: feature maps, flat.
    """

    latents: Floats1
    maps: Floats1


class RateResults(NamedTuple):
    """What the visit of all latents finds; all of it is written.

    Attributes:
        own: gradients by the latents, of each task in a place of its own, flat.
        maps: gradient by the feature maps, flat.
        sums: (n, n_sums), gradient by the ARM's weights, of each task; zero before.
        bits: (n,), of each task.
    """

    own: Floats1
    maps: Floats1
    sums: Floats2
    bits: Doubles1
