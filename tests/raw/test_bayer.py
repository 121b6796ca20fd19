import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from omf.raw.bayer import (
    CFA_ORIGINS,
    crop_to_cells,
    demosaic,
    from_challenge_counts,
    halved,
    mosaic,
    mosaic_full,
    pack,
    to_challenge_counts,
    to_challenge_format,
    unpack,
)

EVEN = st.integers(1, 8).map(lambda half: 2 * half)


@given(st.tuples(EVEN, EVEN).flatmap(lambda shape: arrays(np.uint16, shape)))
def test_unpack_inverts_pack(bayer):
    assert (unpack(pack(bayer)) == bayer).all()


def test_mosaic_is_rggb():
    rgb = np.broadcast_to([1, 2, 3], (4, 6, 3))
    assert mosaic(rgb).tolist() == [[1, 2] * 3, [2, 3] * 3] * 2
    assert pack(mosaic(rgb))[0, 0].tolist() == [1, 2, 2, 3]


def test_mosaic_samples_each_site():
    rgb = np.arange(4 * 4 * 3).reshape(4, 4, 3)
    packed = pack(mosaic(rgb))
    assert packed[1, 0].tolist() == [rgb[2, 0, 0], rgb[2, 1, 1], rgb[3, 0, 1], rgb[3, 1, 2]]


def test_odd_last_row_and_column_are_cropped():
    rgb = np.random.default_rng(0).random((5, 7, 3), np.float32)
    assert to_challenge_format(rgb).shape == (2, 3, 4)
    assert (crop_to_cells(rgb) == rgb[:4, :6]).all()
    assert (halved(rgb) == halved(rgb[:4, :6])).all()
    assert mosaic_full(rgb).shape == (5, 7)
    assert (mosaic_full(rgb)[:4, :6] == mosaic(rgb)).all()


def test_halved_averages_2_x_2_pixels():
    image = np.arange(16.0).reshape(4, 4)
    assert halved(image).tolist() == [[2.5, 4.5], [10.5, 12.5]]


def test_challenge_counts_are_truncated_and_clipped():
    values = np.array([-0.5, 0, 0.9999 / 1024, 1 / 1024, 0.5, 1023.9 / 1024, 1, 3], np.float32)
    assert to_challenge_counts(values).tolist() == [0, 0, 0, 1, 512, 1023, 1024, 1024]
    assert to_challenge_counts(values).dtype == np.uint16


@given(st.integers(0, 1024))
def test_challenge_counts_round_trip(counts):
    assert to_challenge_counts(from_challenge_counts(np.array([counts], np.uint16)))[0] == counts


@pytest.mark.parametrize("cfa", CFA_ORIGINS)
def test_demosaic_matches_malvar_he_and_cutler(cfa):
    malvar = pytest.importorskip("colour_demosaicing").demosaicing_CFA_Bayer_Malvar2004
    bayer = np.random.default_rng(0).random((40, 56))
    rgb = demosaic(bayer, cfa)
    np.testing.assert_allclose(rgb[2:-2, 2:-2], malvar(bayer, cfa)[2:-2, 2:-2], atol=1e-12)
    assert (mosaic(rgb, cfa) == bayer).all()


@given(st.tuples(EVEN, EVEN))
def test_demosaic_preserves_constant_colours_up_to_the_border(size):
    rgb = np.broadcast_to(np.array([0.25, 0.5, 0.125], np.float32), (*size, 3))
    assert (demosaic(mosaic(rgb)) == rgb).all()


@given(
    st.tuples(EVEN, EVEN).flatmap(lambda shape: arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))
)
def test_demosaic_preserves_measured_samples(bayer):
    rgb = demosaic(bayer)
    assert rgb.dtype == bayer.dtype
    assert (mosaic(rgb) == bayer).all()
