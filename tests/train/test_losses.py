"""The loss counts what is labelled and nothing else."""

from __future__ import annotations

import pytest
import torch

from contract.label_map import BACKGROUND, GAS_SMOKE, IGNORE, MACHINE
from train.losses import segmentation_loss as weighted_loss
from train.networks.frame_network import FrameNetwork


def segmentation_loss(logits, truth, machines_known, *, dice_weight):
    return weighted_loss(logits, truth, machines_known, dice_weight=dice_weight, gas_weight=2)


def logits_for(classes: torch.Tensor, sure: float = 8.0) -> torch.Tensor:
    return torch.nn.functional.one_hot(classes.long(), 3).permute(0, 3, 1, 2).float() * sure


TRUTH = torch.tensor([[[BACKGROUND, GAS_SMOKE], [MACHINE, BACKGROUND]]], dtype=torch.uint8)
LABELLED, UNLABELLED = torch.tensor([True]), torch.tensor([False])


def test_a_right_answer_costs_little_and_a_wrong_one_much():
    right = segmentation_loss(logits_for(TRUTH), TRUTH, LABELLED, dice_weight=1)
    wrong = segmentation_loss(logits_for((TRUTH + 1) % 3), TRUTH, LABELLED, dice_weight=1)
    assert right < 0.01
    assert wrong > 5


def test_ignored_pixels_have_no_gradient():
    truth = TRUTH.clone()
    truth[0, 0] = IGNORE
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    segmentation_loss(logits, truth, LABELLED, dice_weight=1).backward()
    assert (logits.grad[..., 0, :] == 0).all()
    assert (logits.grad[..., 1, :] != 0).any()


def test_a_picture_of_ignored_pixels_alone_gives_a_finite_loss():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = segmentation_loss(logits, torch.full_like(TRUTH, IGNORE), LABELLED, dice_weight=1)
    loss.backward()
    assert torch.isfinite(loss)
    assert (logits.grad == 0).all()


def test_finding_a_machine_where_machines_are_not_labelled_is_not_punished():
    truth = torch.tensor([[[BACKGROUND, GAS_SMOKE]]], dtype=torch.uint8)
    background = logits_for(truth)
    machine = logits_for(torch.tensor([[[MACHINE, GAS_SMOKE]]]))
    as_background = segmentation_loss(background, truth, UNLABELLED, dice_weight=1)
    as_machine = segmentation_loss(machine, truth, UNLABELLED, dice_weight=1)
    assert torch.isclose(as_background, as_machine, atol=1e-3)
    assert segmentation_loss(machine, truth, LABELLED, dice_weight=1) > as_machine + 1


def test_gas_is_learned_from_every_picture():
    truth = torch.tensor([[[GAS_SMOKE, BACKGROUND]]], dtype=torch.uint8)
    missed = logits_for(torch.tensor([[[BACKGROUND, BACKGROUND]]]))
    found = logits_for(truth)
    for labelled in (LABELLED, UNLABELLED):
        lost = segmentation_loss(missed, truth, labelled, dice_weight=1)
        assert lost > segmentation_loss(found, truth, labelled, dice_weight=1) + 1


def test_a_small_plume_weighs_as_much_as_a_large_one():
    truth = torch.zeros(2, 64, 64, dtype=torch.uint8)
    truth[0, 20:, :] = GAS_SMOKE
    truth[1, :8, :8] = GAS_SMOKE
    known = torch.tensor([True, True])
    right = logits_for(truth)
    costs = []
    for missed in (0, 1):
        logits = right.clone()
        logits[missed] = logits_for(torch.zeros(1, 64, 64))[0]
        both = segmentation_loss(logits, truth, known, dice_weight=1)
        costs.append(both - segmentation_loss(logits, truth, known, dice_weight=0))
    assert costs[0] > 0.1
    assert costs[1] > 0.7 * costs[0]


def test_each_picture_of_a_mixed_batch_follows_its_own_labels():
    truth = torch.full((2, 1, 1), BACKGROUND, dtype=torch.uint8)
    logits = torch.zeros(2, 3, 1, 1, requires_grad=True)
    segmentation_loss(logits, truth, torch.tensor([True, False]), dice_weight=0).backward()
    assert logits.grad[0, MACHINE] > 0  # pushed down: this one is known to be no machine
    assert logits.grad[1, MACHINE] < 0  # shares the credit with background


def random_batch():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 3, 16, 16, generator=generator)
    truth = torch.randint(0, 3, (2, 16, 16), generator=generator).to(torch.uint8)
    return logits, truth, torch.tensor([True, True])


def test_full_weights_change_nothing():
    logits, truth, known = random_batch()
    options = {"dice_weight": 1.0, "gas_weight": 2.0}
    plain = weighted_loss(logits, truth, known, **options)
    full = weighted_loss(logits, truth, known, **options, weights=torch.full_like(truth, 255))
    assert plain == full


def test_a_pixel_of_no_weight_is_ignored_and_half_weight_pulls_half_as_hard():
    logits, truth, known = random_batch()
    options = {"dice_weight": 1.0, "gas_weight": 2.0}
    weights = torch.full_like(truth, 255)
    weights[:, :8] = 0
    ignored = truth.clone()
    ignored[:, :8] = IGNORE
    by_weight = weighted_loss(logits, truth, known, **options, weights=weights)
    by_truth = weighted_loss(logits, ignored, known, **options)
    assert torch.isclose(by_weight, by_truth)

    pulls = []
    for weight in (255, 51):
        weights = torch.full_like(truth, 255)
        weights[0, 0, 0] = weight
        steered = logits.clone().requires_grad_()
        weighted_loss(steered, truth, known, **options, weights=weights).backward()
        pulls.append(steered.grad[0, :, 0, 0].abs().sum())
    assert torch.isclose(pulls[1] / pulls[0], torch.tensor(0.2), atol=0.03)


ACTIVATIONS = ["softmax", "sigmoid", "linear"]


def loss_of(logits, truth, known, activation, **changes):
    options = {"dice_weight": 0, "gas_weight": 2, "activation": activation}
    return weighted_loss(logits, truth, known, **(options | changes))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_each_activation_learns_the_truth_from_its_own_loss(activation):
    logits = torch.zeros(1, 3, 2, 2, requires_grad=True)
    steps = torch.optim.Adam([logits], 0.3)
    for _ in range(120):
        steps.zero_grad()
        loss_of(logits, TRUTH, LABELLED, activation, dice_weight=1).backward()
        steps.step()
    assert torch.equal(logits.argmax(1), TRUTH.long())
    network = FrameNetwork(torch.nn.Identity(), activation=activation)
    chance = network.probabilities(logits).gather(1, TRUTH[:, None].long())
    assert chance.min() > 0.95
    assert chance.max() <= 1


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_machines_that_are_not_labelled_are_free_with_every_activation(activation):
    truth = torch.tensor([[[BACKGROUND, GAS_SMOKE]]], dtype=torch.uint8)
    sure = 1.0 if activation == "linear" else 8.0
    background = logits_for(truth, sure)
    machine = logits_for(torch.tensor([[[MACHINE, GAS_SMOKE]]]), sure)
    gas = logits_for(torch.tensor([[[GAS_SMOKE, GAS_SMOKE]]]), sure)
    if activation == "sigmoid":  # there 0 is undecided
        background, machine, gas = (each * 2 - sure for each in (background, machine, gas))
    cost = {
        name: float(loss_of(logits, truth, UNLABELLED, activation))
        for name, logits in (("background", background), ("machine", machine), ("gas", gas))
    }
    assert cost["machine"] == pytest.approx(cost["background"], abs=1e-3)
    assert cost["background"] < 0.01
    assert cost["gas"] > 0.2
    # where they are labelled it is a fault
    assert loss_of(machine, truth, LABELLED, activation) > 0.1


def test_sigmoid_loss_is_binary_cross_entropy_of_each_class():
    logits = torch.randn(2, 3, 4, 4)
    truth = torch.randint(0, 3, (2, 4, 4), dtype=torch.uint8)
    one_hot = torch.nn.functional.one_hot(truth.long(), 3).permute(0, 3, 1, 2).float()
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(logits, one_hot)
    both = torch.tensor([True, True])
    torch.testing.assert_close(loss_of(logits, truth, both, "sigmoid", gas_weight=1), wanted)


def test_linear_loss_is_the_squared_distance_and_has_no_dice():
    logits = torch.randn(2, 3, 4, 4)
    truth = torch.randint(0, 3, (2, 4, 4), dtype=torch.uint8)
    one_hot = torch.nn.functional.one_hot(truth.long(), 3).permute(0, 3, 1, 2).float()
    both = torch.tensor([True, True])
    found = loss_of(logits, truth, both, "linear", gas_weight=1, dice_weight=5)
    torch.testing.assert_close(found, torch.nn.functional.mse_loss(logits, one_hot))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_ignored_and_distrusted_pixels_have_no_gradient_with_any_activation(activation):
    truth = TRUTH.clone()
    truth[0, 0, 0] = IGNORE
    weights = torch.full_like(truth, 255)
    weights[0, 0, 1] = 0
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss_of(logits, truth, LABELLED, activation, dice_weight=1, weights=weights).backward()
    assert (logits.grad[..., 0, :] == 0).all()
    assert (logits.grad[..., 1, :] != 0).any()


def test_sigmoids_far_out_give_finite_gradients():
    logits = torch.tensor([-80.0, 80.0]).repeat(3, 1).T.reshape(2, 3, 1, 1).requires_grad_()
    truth = torch.zeros(2, 1, 1, dtype=torch.uint8)
    loss = loss_of(logits, truth, torch.tensor([False, False]), "sigmoid", dice_weight=1)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
