"""Labels find room."""

import itertools

from henkan.inspection.labels import overlap, place_labels

ROOM = (0.0, 0.0, 400.0, 300.0)


def test_areas_that_boxes_share():
    assert overlap((0, 0, 4, 4), (2, 3, 9, 9)) == 2
    assert overlap((0, 0, 4, 4), (4, 0, 9, 9)) == 0


def test_a_lonely_label_stands_right_of_its_point():
    ((left, top),) = place_labels([(100, 100)], [(50, 10)], ROOM)
    assert 100 < left < 115
    assert top == 95


def test_labels_of_crowded_points_lie_beside_each_other_and_inside():
    points = [(390.0, 150.0), (392.0, 152.0), (388.0, 148.0), (391.0, 155.0), (200.0, 2.0)]
    size = (90.0, 12.0)
    boxes = [(x, y, x + size[0], y + size[1]) for x, y in place_labels(points, [size] * 5, ROOM)]
    for one, other in itertools.combinations(boxes, 2):
        assert overlap(one, other) == 0
    for box in boxes:
        assert overlap(box, ROOM) > 0.999 * size[0] * size[1], "a label leaves the picture"
