"""The far device holds to the rules of a GPU, and tells what a GPU does in silence."""

import pytest
import torch

from dexzoo.geometry.neighbours import knn
from dexzoo.models.grasp.refinement.task import mesh_fields
from tests.far_device import FAR, FarTensor, MixedDevices, far_device
from tests.models.small_data import SmallGrasps


@pytest.fixture
def far():
    with far_device() as device:
        yield device


def test_values_and_gradients_are_those_of_the_cpu(far):
    weight, x = torch.randn(4, 3), torch.randn(2, 3)
    found = []
    for device in ("cpu", FAR):
        w = weight.to(device, copy=True).requires_grad_()
        y = torch.nn.functional.linear(x.to(device), w).square()
        y[:, 0] *= 2
        y.sum().backward()
        assert w.grad.device == w.device == torch.device(device)
        found.append(w.grad.cpu())
    assert torch.equal(*found)


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x + torch.ones(3),
        lambda x: torch.cat([x, torch.ones(1, 3)]),
        lambda x: x[torch.tensor([0])],
        lambda x: x.index_select(0, torch.tensor([0])),
        lambda x: torch.ones(2, 3)[x[:, 0].long()],
        lambda x: torch.where(torch.ones(2, 3) > 0, x, 0.0),
        lambda x: x.copy_(torch.ones(2, 3)) + torch.eye(3)[0],
        lambda x: torch.randn(2, 3, generator=torch.Generator(), device=x.device),
        lambda x: torch.cat([torch.tensor(1.0)[None], x[0]]),
    ],
)
@pytest.mark.parametrize("inference", [False, True])
def test_two_devices_do_not_mix(mix, inference, far):
    with torch.inference_mode(inference), pytest.raises(MixedDevices, match="far"):
        mix(torch.zeros(2, 3, device=FAR))


def test_a_number_of_the_cpu_goes_with_anything(far):
    x = torch.zeros(2, 3, device=FAR) + torch.tensor(1.0)
    x[0] = torch.tensor(2.0)
    assert x.tolist() == [[2.0] * 3, [1.0] * 3]


@pytest.mark.parametrize("way", [lambda x: x.numpy(), lambda x: torch.from_numpy(x.numpy())])
def test_numpy_does_not_see_it(way, far):
    with pytest.raises(TypeError, match="numpy"):
        way(torch.zeros(3, device=FAR))


def test_what_makes_the_host_wait_is_told_with_its_place(far):
    """Operations of the tests themselves are left out: the place is the innermost one of the package."""
    cloud = torch.randn(1, 8, 3, device=FAR)
    cloud.cpu()
    assert far.waits == []
    knn(cloud, cloud, 2)
    assert far.waits == []
    exec(compile("x.tolist()\nx[x > 0]\nif x.any(): pass", knn.__code__.co_filename, "exec"), {"x": cloud})
    assert far.waits == [
        "geometry/neighbours.py <module>: copy to the host (line 1)",
        "geometry/neighbours.py <module>: index by a mask (line 2)",
        "geometry/neighbours.py <module>: item (line 3)",
    ]


def test_there_is_none_outside():
    with far_device():
        x = torch.zeros(3, device=FAR)
    assert isinstance(x, FarTensor)
    with pytest.raises(MixedDevices, match="outside"):
        x + 1


def test_grids_that_others_hold_stay_where_they_are(tmp_path, far):
    """Metrics read the grid of an asset on the CPU; a refinement on a GPU once took it away."""
    data = SmallGrasps(tmp_path)
    data.setup()
    batch = data.train.batch([0, 1])
    here = mesh_fields(batch)
    there = mesh_fields(batch.to(FAR))
    assert there.grids[0].values.device == FAR
    assert here.grids[0].values.device.type == "cpu"
    points = torch.randn(2, 5, 3) / 10
    torch.testing.assert_close(there(points.to(FAR)).cpu(), here(points), atol=1e-6, rtol=0)
