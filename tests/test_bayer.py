import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from omf.bayer import dequantise, mosaic, pack, quantise, to_challenge_format, unpack

EVEN = st.integers(1, 8).map(lambda half: 2 * half)


@given(st.tuples(EVEN, EVEN).flatmap(lambda shape: arrays(np.uint16, shape)))
def test_unpack_undoes_pack(bayer):
    assert (unpack(pack(bayer)) == bayer).all()


def test_mosaic_is_rggb():
    rgb = np.broadcast_to([1, 2, 3], (4, 6, 3))
    assert mosaic(rgb).tolist() == [[1, 2] * 3, [2, 3] * 3] * 2
    assert pack(mosaic(rgb))[0, 0].tolist() == [1, 2, 2, 3]


def test_mosaic_takes_values_where_they_are():
    rgb = np.arange(4 * 4 * 3).reshape(4, 4, 3)
    packed = pack(mosaic(rgb))
    assert packed[1, 0].tolist() == [rgb[2, 0, 0], rgb[2, 1, 1], rgb[3, 0, 1], rgb[3, 1, 2]]


def test_odd_last_row_and_column_are_dropped():
    assert to_challenge_format(np.zeros((5, 7, 3), np.float32)).shape == (2, 3, 4)


def test_quantise_truncates_and_clips():
    values = np.array([-0.5, 0, 0.9999 / 1024, 1 / 1024, 0.5, 1023.9 / 1024, 1, 3], np.float32)
    assert quantise(values).tolist() == [0, 0, 0, 1, 512, 1023, 1024, 1024]
    assert quantise(values).dtype == np.uint16


@given(st.integers(0, 1024))
def test_quantise_undoes_dequantise(counts):
    assert quantise(dequantise(np.array([counts], np.uint16)))[0] == counts
