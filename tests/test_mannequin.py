"""`training.mannequin` and `training.exercises`: bones, cameras and pictures against each other."""

import numpy as np
import pytest

from helpers import media
from helpers.geometry import project
from training import body_surface, movements, people
from training import mannequin as m

SQUATS = [("squat", form, 1) for form in movements.FORMS["squat"][0]]
ALL = [*SQUATS, ("jumping jack", "good", 2), ("lunge", "good", 2), ("arm raise", "good", 2)]
BONES = [(5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16), (5, 6), (11, 12), (3, 4), (0, 1)]


@pytest.fixture(scope="module")
def person():
    return people.Person.random(np.random.default_rng(3))


@pytest.fixture(scope="module")
def recording(person):
    return movements.perform(person, ALL, fps=30, seed=2, turns_deg=[30, 0, -20, 60, 0, 45, 10])


def camera(size=(192, 192), azimuth=0.4, distance=3.2):
    position = distance * np.sin(azimuth), 1.3, distance * np.cos(azimuth)
    return m.Camera.looking(position, (0, 0.9, 0), size, 1.3 * size[1])


# Skeleton


def test_at_rest_people_stand_upright_face_along_z_and_have_their_height():
    for seed in range(20):
        person = people.Person.random(np.random.default_rng(seed))
        length = person.lengths
        pelvis = [0, length["ankle"] + length["shin"] + length["thigh"], 0]
        joints, feet = people.skeleton(person, np.zeros((13, 3)), pelvis)
        assert joints.shape == (17, 3) and feet.shape == (2, 3, 3)
        assert joints[list(people.ANKLES), 1] == pytest.approx(length["ankle"])
        for left, right in (
            people.EYES,
            people.EARS,
            people.SHOULDERS,
            people.ELBOWS,
            people.WRISTS,
            people.HIPS,
            people.KNEES,
            people.ANKLES,
        ):
            np.testing.assert_allclose(joints[left] * [-1, 1, 1], joints[right], atol=1e-9)
            assert joints[left, 0] > 0
        assert joints[people.NOSE, 2] > joints[list(people.EYES), 2].max() > joints[list(people.EARS), 2].max()
        assert joints[list(people.EARS), 1].max() == pytest.approx(0.925 * person.height, rel=0.01)
        crown = body_surface.surface(person, joints, feet)[0][..., 1].max()
        assert crown == pytest.approx(person.height, rel=0.04)


def test_bones_keep_their_lengths_and_fit_the_person(person, recording):
    length = person.lengths
    for a, b in BONES:
        bone = np.linalg.norm(recording.joints[:, a] - recording.joints[:, b], axis=1)
        assert np.ptp(bone) < 1e-9
    expected = [length[k] for k in ("upper_arm", "forearm", "upper_arm", "forearm", "thigh", "shin", "thigh", "shin")]
    for (a, b), metres in zip(BONES, expected, strict=False):
        assert np.linalg.norm(recording.joints[0, a] - recording.joints[0, b]) == pytest.approx(metres)


def test_angles_turn_what_they_are_named_after(person):
    angles = np.zeros((13, 3))
    angles[people.TURNS.index("left_elbow"), 1] = -90
    angles[people.TURNS.index("right_hip"), 1] = -90
    angles[people.TURNS.index("right_knee"), 1] = 90
    joints, _ = people.skeleton(person, angles, [0, 1, 0])
    np.testing.assert_allclose(people.unit(joints[9] - joints[7]), [0, 0, 1], atol=1e-6)  # forearm forward
    np.testing.assert_allclose(
        people.unit(joints[14] - joints[12]), [0, 0, 1], atol=1e-6
    )  # thigh forward, as when sitting
    np.testing.assert_allclose(people.unit(joints[16] - joints[14]), [0, -1, 0], atol=1e-6)


def test_inverse_kinematics_keeps_standing_feet_where_they_are(recording):
    for rep in recording.repetitions:
        if rep["exercise"] not in ("squat", "arm raise"):
            continue
        during = (recording.times >= rep["start_s"]) & (recording.times <= rep["end_s"])
        assert np.ptp(recording.joints[during][:, list(people.ANKLES)], axis=0).max() < 1e-6


def test_motion_capture_stands_on_the_floor_in_metres(person):
    joints, _ = people.skeleton(person, np.zeros((13, 3)), [0, 1, 0])
    pose = people.pose_of(joints.ravel() * 1000 + np.tile([500, -300, 2000], 17))
    np.testing.assert_allclose(pose - pose[5], joints - joints[5], atol=1e-9)
    assert pose[list(people.ANKLES), 1].min() == pytest.approx(0.075)
    np.testing.assert_allclose(pose[list(people.HIPS)][:, [0, 2]].mean(0), 0, atol=1e-9)


# Exercises


def test_the_middle_of_a_repetition_is_where_hips_or_wrists_are_extreme(recording):
    joints = recording.joints
    heights = {
        "squat": -joints[:, list(people.HIPS), 1].mean(1),
        "lunge": -joints[:, list(people.HIPS), 1].mean(1),
        "jumping jack": joints[:, list(people.WRISTS), 1].mean(1),
        "arm raise": joints[:, list(people.WRISTS), 1].mean(1),
    }
    assert len(recording.repetitions) == sum(count for *_, count in ALL)
    for before, after in zip(recording.repetitions, recording.repetitions[1:], strict=False):
        assert before["start_s"] < before["middle_s"] < before["end_s"] <= after["start_s"]
    for rep in recording.repetitions:
        signal = heights[rep["exercise"]]
        rows = np.flatnonzero((recording.times >= rep["start_s"]) & (recording.times <= rep["end_s"]))
        peak = recording.times[rows[signal[rows].argmax()]]
        assert peak == pytest.approx(rep["middle_s"], abs=2.5 / recording.fps), rep
        travel = np.ptp(signal[rows])
        for edge in (rows[0], rows[-1]):
            assert signal[edge] < signal[rows].min() + 0.12 * travel


def test_forms_differ_by_what_they_are_named_after(person):
    def bottom(form):
        recording = movements.perform(person, [("squat", form, 1)], 30, seed=4, depth=0)
        index = round(recording.repetitions[0]["middle_s"] * 30)
        joints = recording.joints[index]
        thigh = joints[list(people.HIPS)] - joints[list(people.KNEES)]
        trunk = joints[list(people.SHOULDERS)].mean(0) - joints[list(people.HIPS)].mean(0)
        knees, ankles = (joints[part[0], 0] - joints[part[1], 0] for part in (people.KNEES, people.ANKLES))
        rise = np.rad2deg(np.arctan2(thigh[:, 1], -thigh[:, 2])).mean()
        return {"knees": knees / ankles, "thigh": rise, "lean": np.rad2deg(np.arctan2(trunk[2], trunk[1]))}

    good, knees_in, shallow, leaning = map(bottom, movements.FORMS["squat"][0])
    assert good["knees"] > 1 and good["thigh"] < 16 and 25 < good["lean"] < 50
    assert knees_in["knees"] < 0.75
    assert shallow["thigh"] > 30
    assert leaning["lean"] > good["lean"] + 20


def test_the_same_seed_does_the_same_and_another_varies_tempo_and_depth(person):
    sets = [("squat", "good", 4)]
    first, same, other = (movements.perform(person, sets, 20, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.joints, same.joints)
    assert first.repetitions == same.repetitions != other.repetitions
    durations = [rep["end_s"] - rep["start_s"] for rep in first.repetitions]
    assert np.std(durations) > 0.03 and len({rep["depth"] for rep in first.repetitions}) == 4


def test_nobody_jumps_about(recording):
    speed = np.linalg.norm(np.diff(recording.joints, axis=0), axis=2) * recording.fps
    assert speed.max() < 9  # m/s, of a wrist in a jumping jack
    hips = np.linalg.norm(np.diff(recording.joints[:, list(people.HIPS)].mean(1), axis=0), axis=1) * recording.fps
    assert hips.max() < 2.5


def test_an_unknown_form_names_those_there_are(person):
    with pytest.raises(ValueError, match=r"'sideways'.*knees in"):
        movements.perform(person, [("squat", "sideways", 1)])


# Pictures


@pytest.fixture(scope="module")
def renderer():
    pytest.importorskip("pyvista", reason="rendering needs pyvista: pip install -r training/requirements.txt")
    renderer = m.Renderer((192, 192))
    yield renderer
    renderer.close()


GREY = np.full((192, 192, 3), 128, np.uint8)


def test_joints_in_the_picture_are_the_projected_ones(renderer, person, recording):
    view = camera()
    for index in (0, 40, 200):
        shot = renderer.render(person, recording.joints[index], view, GREY, feet=recording.feet[index])
        assert shot.image.shape == (192, 192, 3) and shot.image.dtype == np.uint8
        homogeneous = shot.joints_3d @ view.K.T
        np.testing.assert_allclose(homogeneous[:, :2] / homogeneous[:, 2:], shot.joints, atol=1e-9)
        world = (shot.joints_3d - view.pose[1]) @ view.pose[0]
        np.testing.assert_allclose(world, recording.joints[index], atol=1e-9)
        inside = np.round(shot.joints).astype(int)
        assert (shot.mask[inside[5:, 1], inside[5:, 0]] > 0.9).all()  # every joint lies in the body


@pytest.mark.parametrize("azimuth", [0.3, 2.8, 4.4])
def test_a_limb_has_its_colour_where_it_is(renderer, recording, azimuth):
    """Unlike colours for shirt, trousers and skin, under an even light: hue tells which is seen."""
    person = people.Person(
        shirt=(20, 60, 230), trousers=(20, 200, 40), skin=(230, 60, 60), trousers2=(20, 200, 40), sleeves=0.1
    )
    even = m.Light(direction=(0, 1, 0), key=(0.1,) * 3, sky=(0.6,) * 3, floor=(0.6,) * 3)
    angles = np.zeros((13, 3))
    angles[3:5, 0] = 60, -60
    length = person.lengths
    joints, feet = people.skeleton(person, angles, [0, length["thigh"] + length["shin"] + length["ankle"], 0])
    shot = renderer.render(person, joints, camera(azimuth=azimuth), GREY, even, feet)
    expected = {(5, 7): 0, (7, 9): 0, (6, 8): 0, (8, 10): 0, (11, 13): 1, (12, 14): 1, (5, 12): 2, (6, 11): 2}
    for (a, b), channel in expected.items():
        x, y = np.round((shot.joints[a] + shot.joints[b]) / 2).astype(int)
        if shot.visibility[a] == shot.visibility[b] == m.VISIBLE:
            assert shot.image[y, x].argmax() == channel, (a, b)


def test_of_a_face_from_the_front_all_is_visible_and_from_behind_nothing_but_ears(renderer, person):
    joints, feet = people.skeleton(person, np.zeros((13, 3)), [0, 0.95, 0])
    front = renderer.render(person, joints, camera(azimuth=0), GREY, feet=feet)
    behind = renderer.render(person, joints, camera(azimuth=np.pi), GREY, feet=feet)
    assert (front.visibility[:3] == m.VISIBLE).all() and (front.visibility[5:7] == m.VISIBLE).all()
    assert (behind.visibility[:3] == m.OCCLUDED).all()
    left = renderer.render(person, joints, camera(azimuth=np.pi / 2), GREY, feet=feet)
    assert left.visibility[3] == m.VISIBLE and left.visibility[4] == m.OCCLUDED
    assert front.joints[5, 0] > front.joints[6, 0]  # who faces the camera has the left shoulder on the picture's right


def test_a_ball_in_front_hides_and_what_leaves_the_picture_is_outside(renderer, person):
    joints, feet = people.skeleton(person, np.zeros((13, 3)), [0, 0.95, 0])
    view = camera(azimuth=0)
    shot = renderer.render(person, joints, view, GREY, feet=feet, ball=(0, 0.4, 1.0, 0.4))
    assert (shot.visibility[13:] == m.OCCLUDED).all() and (shot.visibility[:7] == m.VISIBLE).all()
    close = m.Camera.looking((0, 1.5, 1.2), (0, 1.5, 0), (192, 192), 250)
    assert (renderer.render(person, joints, close, GREY, feet=feet).visibility[13:] == 0).all()


def test_the_floor_is_darker_in_the_shadow_and_the_rest_of_the_background_as_it_was(renderer, person, recording):
    shot = renderer.render(person, recording.joints[0], camera(), GREY, feet=recording.feet[0])
    around = shot.mask == 0
    assert shot.image[around].min() < 100
    assert (shot.image[:60][around[:60]] == 128).all()


def test_a_render_depends_on_nothing_before_it(renderer, recording):
    crowd = [people.Person.random(np.random.default_rng(seed)) for seed in range(3)]

    def render(person):
        return renderer.render(person, recording.joints[50], camera(), GREY, feet=recording.feet[50]).image

    images = [render(person) for person in crowd]
    for person, image in reversed(list(zip(crowd, images, strict=True))):
        np.testing.assert_array_equal(render(person), image)
    assert np.abs(images[0].astype(int) - images[1]).max() > 50


def test_a_principal_point_off_the_middle_moves_the_picture(renderer, person, recording):
    view = camera()
    K = view.K.copy()
    K[:2, 2] += [14, -9]
    moved = m.Camera(K, view.pose, view.size)
    a, b = (renderer.render(person, recording.joints[0], c, GREY, feet=recording.feet[0]) for c in (view, moved))
    shifted = np.roll(a.mask, (-9, 14), (0, 1))
    assert (np.abs(shifted - b.mask) > 0.1).mean() < 0.002
    np.testing.assert_allclose(b.joints - a.joints, np.tile([14, -9], (17, 1)), atol=1e-9)


def test_the_outline_is_where_the_surface_projects_to(renderer, person, recording):
    view = camera()
    shot = renderer.render(person, recording.joints[0], view, GREY, feet=recording.feet[0])
    vertices = body_surface.surface(person, recording.joints[0], recording.feet[0])[0][:-21].reshape(-1, 3)
    pixels = project(vertices, view.K, view.pose)
    rows, columns = np.nonzero(shot.mask > 0.5)
    for low, high, seen in ((0, 0, columns), (1, 1, rows)):
        assert seen.min() == pytest.approx(pixels[:, low].min(), abs=1.3)
        assert seen.max() == pytest.approx(pixels[:, high].max(), abs=1.3)


def test_a_picture_of_another_size_is_refused(renderer, person, recording):
    with pytest.raises(ValueError, match=r"\(192, 192\).*camera \(96, 96\)"):
        renderer.render(person, recording.joints[0], camera((96, 96)), GREY)
    with pytest.raises(ValueError, match=r"\(192, 192\).*background \(100, 90\)"):
        renderer.render(person, recording.joints[0], camera(), np.zeros((90, 100, 3), np.uint8))


def test_a_room_meets_where_wall_and_floor_do():
    view = camera(azimuth=0)
    white, black = (np.full((64, 64, 3), value, np.float32) for value in (250, 0))
    image = m.room(view, white, black, distance=2)
    seam = project(np.array([[0, 0, -2.0]]), view.K, view.pose)[0, 1]
    assert image[: int(seam) - 1].min() > 60 and image[int(seam) + 3 :].max() == 0


def test_rendering_without_pyvista_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyvista", None)
    with pytest.raises(ImportError, match=r"pip install .*training/requirements.txt"):
        m.Renderer()


def test_people_differ_and_a_photograph_serves_as_background(renderer):
    photo = np.asarray(media.photo("coffee").resize((192, 192)))
    rng = np.random.default_rng(0)
    crowd = [people.Person.random(rng) for _ in range(50)]
    heights = [person.height for person in crowd]
    assert min(heights) < 1.6 and max(heights) > 1.8
    assert {person.style for person in crowd} == set(people.STYLES)
    assert {person.pattern for person in crowd} == set(people.PATTERNS)
    joints, _ = people.skeleton(crowd[0], np.zeros((13, 3)), [0, 0.95, 0])
    shot = renderer.render(crowd[0], joints, camera(), photo, m.Light.random(rng))
    assert (shot.image[shot.mask == 0] <= photo[shot.mask == 0]).all()
