"""The PLY file that notebook 2.3 writes, read again by programs that did not write it."""

import ast
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pytest

pytestmark = pytest.mark.once
NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "2.3-depth.ipynb"


def with_opencv(path):
    """Points (N, 3) and colours (N, 3), 0 to 255."""
    points, _, colours = cv2.loadPointCloud(str(path))
    colours = colours.reshape(-1, 3)
    return points.reshape(-1, 3), colours * (255 if colours.dtype.kind == "f" and colours.max() <= 1 else 1)


def with_vtk(path):
    pyvista = pytest.importorskip("pyvista", reason="pyvista, of training/requirements.txt, is not installed")
    mesh = pyvista.read(path)
    return np.asarray(mesh.points), np.asarray(mesh.point_data["RGB"])


@pytest.fixture
def save_ply():
    """The notebook's own function."""
    cells = (cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code")
    (source,) = (source for source in cells if "def save_ply" in source)
    (function,) = (node for node in ast.parse(source).body if getattr(node, "name", "") == "save_ply")
    names = {"np": np}
    exec(ast.unparse(function), names)
    return names["save_ply"]


@pytest.mark.parametrize("read", [with_opencv, with_vtk])
@pytest.mark.parametrize("count", [1, 1000])
def test_a_cloud_comes_back(save_ply, tmp_path, read, count):
    rng = np.random.default_rng(count)
    points = rng.uniform([-3, -2, 0.5], [3, 2, 60], (count, 3))
    colours = rng.integers(0, 256, (count, 3), dtype=np.uint8)
    save_ply(tmp_path / "cloud.ply", points, colours)
    found, shades = read(tmp_path / "cloud.ply")
    x, y, z = points.T
    assert np.allclose(found, np.column_stack([x, -y, -z]), atol=1e-4)  # y up and z to the viewer, as in OpenGL
    assert np.array_equal(np.rint(shades), colours)
