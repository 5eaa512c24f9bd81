"""The networks keep their promises whatever their weights are, and their loss can be followed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.separate.tiny_songs import SIZES, STEMS, shaken, tiny_plan
from workstation.separate.networks import build
from workstation.separate.trained_file import NetworkPlan, SpectrogramSizes, WaveformSizes
from workstation.separate.training_loss import separation_loss

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = tuple(SIZES)


def network(kind, **plan):
    torch.manual_seed(0)
    return build(tiny_plan(kind, **plan)).eval()


def mix_of(frames, channels=2, seed=0):
    return torch.randn(1, channels, frames, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sizes", [WaveformSizes(), SpectrogramSizes()])
def test_the_usual_sizes_have_2_8_million_parameters(sizes):
    plan = NetworkPlan(network=sizes, stems=STEMS, sample_rate_hz=44100, channels=2)
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in build(plan).parameters())
    assert count == pytest.approx(2.8e6, rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(
    frames=st.integers(1, 3000),
    channels=st.integers(1, 2),
    stems=st.integers(2, 5),
    gain=st.sampled_from([1e-6, 0.01, 1.0, 100.0]),
)
def test_stems_sum_to_the_mix(kind, frames, channels, stems, gain):
    names = tuple(f"stem {n}" for n in range(stems))
    made = shaken(network(kind, stems=names, channels=channels))
    mix = gain * mix_of(frames, channels)
    with torch.inference_mode():
        found = made(mix)
    assert found.shape == (1, stems, channels, frames)
    assert torch.allclose(found.sum(1), mix, atol=2e-5 * gain)


@pytest.mark.parametrize("kind", KINDS)
def test_an_untrained_network_shares_the_mix_out(kind):
    mix = mix_of(2000)
    with torch.inference_mode():
        found = network(kind)(mix)
    assert torch.allclose(found, (mix / 4)[:, None].expand_as(found), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10)
@given(gain=st.floats(1e-4, 1e4))
def test_a_louder_mix_gives_louder_stems_and_nothing_else(kind, gain):
    made, mix = shaken(network(kind)), mix_of(1500)
    with torch.inference_mode():
        plain, louder = made(mix), made(mix * gain)
    assert torch.allclose(louder / gain, plain, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_mixes_of_a_batch_know_nothing_of_each_other(kind):
    made = shaken(network(kind))
    both = torch.cat([mix_of(1000, seed=1), 100 * mix_of(1000, seed=2)])
    with torch.inference_mode():
        assert torch.allclose(made(both)[:1], made(both[:1]), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_silence_gives_silence(kind):
    with torch.inference_mode():
        assert not shaken(network(kind))(torch.zeros(2, 2, 1000)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_takes_part_in_learning(kind):
    made = shaken(network(kind)).train()
    stems = torch.randn(2, 4, 2, 2000, generator=torch.Generator().manual_seed(3))
    separation_loss(made(stems.sum(1)), stems, stems.sum(1)).backward()
    for name, parameter in made.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


# -- the loss -------------------------------------------------------------------------


def truth_and_estimate(frames=600, seed=5):
    rng = np.random.default_rng(seed)
    stems = torch.from_numpy(rng.standard_normal((2, 2, 1, frames)))
    return stems, stems + torch.from_numpy(rng.standard_normal((2, 2, 1, frames)))


def test_the_gradient_of_the_loss_is_that_of_finite_differences():
    stems, found = truth_and_estimate(frames=40)
    found.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: separation_loss(x, stems, stems.sum(1)), found, eps=1e-7, atol=1e-5
    )


def test_a_step_against_its_gradient_lowers_the_loss():
    stems, found = truth_and_estimate()
    found.requires_grad_()
    loss = separation_loss(found, stems, stems.sum(1))
    loss.backward()
    with torch.no_grad():
        moved = separation_loss(found - found.grad, stems, stems.sum(1))
    assert moved < loss


def test_the_loss_is_zero_at_the_truth_and_its_gradient_finite_even_in_silence():
    stems, _ = truth_and_estimate()
    stems[0] = 0  # A silent excerpt.
    stems[1, 0] = 0  # A silent stem.
    found = stems.clone().requires_grad_()
    loss = separation_loss(found, stems, stems.sum(1))
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(found.grad).all()


@given(gain=st.floats(0.01, 100))
@settings(max_examples=10)
def test_loud_songs_count_no_more_than_quiet_ones(gain):
    stems, found = truth_and_estimate()
    plain = separation_loss(found, stems, stems.sum(1))
    scaled = separation_loss(found * gain, stems * gain, stems.sum(1) * gain)
    assert scaled.item() == pytest.approx(plain.item(), rel=1e-4)
