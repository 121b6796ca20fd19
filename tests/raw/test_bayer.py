import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omf.raw.bayer import (
    CFA_ORIGINS,
    crop_to_cells,
    demosaic,
    from_challenge_counts,
    half_size_photo,
    halved,
    mean_colour,
    merge_greens,
    mosaic,
    mosaic_full,
    pack,
    to_challenge_counts,
    to_challenge_format,
    unpack,
)

EVEN = st.integers(1, 8).map(lambda half: 2 * half)


def test_mosaic_and_pack_sample_each_site():
    rgb = np.arange(4 * 6 * 3, dtype=np.uint16).reshape(4, 6, 3)
    packed = pack(mosaic(rgb))
    sites = (rgb[::2, ::2, 0], rgb[::2, 1::2, 1], rgb[1::2, ::2, 1], rgb[1::2, 1::2, 2])
    assert packed.dtype == np.uint16 and (packed == np.stack(sites, axis=-1)).all()
    assert (unpack(packed) == mosaic(rgb)).all()


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


def test_both_greens_are_averaged():
    packed = np.array([[[0.1, 0.2, 0.6, 0.4]], [[0.3, 0.4, 0.8, 0.6]]])
    np.testing.assert_allclose(merge_greens(packed), [[[0.1, 0.4, 0.4]], [[0.3, 0.6, 0.6]]])
    np.testing.assert_allclose(mean_colour(packed), [0.2, 0.5, 0.5])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_photo_of_cells_is_in_parts_of_its_largest_value(dtype):
    rgb = np.full((4, 6, 3), np.iinfo(dtype).max, dtype)
    rgb[:2, :2, 0] = 0
    rgb[0, 0, 0] = np.iinfo(dtype).max
    small = half_size_photo(rgb)
    assert small.dtype == np.float32 and small.shape == (2, 3, 3)
    assert small[0, 0].tolist() == [0.25, 1, 1] and (small.reshape(-1, 3)[1:] == 1).all()


def test_challenge_counts_are_truncated_and_clipped():
    values = np.array([-0.5, 0, 0.9999 / 1024, 1 / 1024, 0.5, 1023.9 / 1024, 1, 3], np.float32)
    assert to_challenge_counts(values).tolist() == [0, 0, 0, 1, 512, 1023, 1024, 1024]
    assert to_challenge_counts(values).dtype == np.uint16


def test_challenge_counts_round_trip():
    counts = np.arange(1025, dtype=np.uint16)
    assert (to_challenge_counts(from_challenge_counts(counts)) == counts).all()


@pytest.mark.parametrize("cfa", CFA_ORIGINS)
def test_demosaic_matches_malvar_he_and_cutler(cfa):
    bayer = np.random.default_rng(0).random((40, 56))
    rgb = demosaic(bayer, cfa)
    assert (mosaic(rgb, cfa) == bayer).all()
    malvar = pytest.importorskip("colour_demosaicing").demosaicing_CFA_Bayer_Malvar2004
    np.testing.assert_allclose(rgb[2:-2, 2:-2], malvar(bayer, cfa)[2:-2, 2:-2], atol=1e-12)


@given(st.tuples(EVEN, EVEN))
def test_demosaic_preserves_constant_colours_up_to_the_border(size):
    rgb = np.broadcast_to(np.array([0.25, 0.5, 0.125], np.float32), (*size, 3))
    result = demosaic(mosaic(rgb))
    assert result.dtype == rgb.dtype and (result == rgb).all()
