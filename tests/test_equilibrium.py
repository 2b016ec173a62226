"""Implicit gradients: against back-propagation through many cycles, on contractions in float64."""

import pytest
import torch
from torch import nn

from hybrid.errors import ConfigError
from hybrid.recursion.block import AttentionBlock
from hybrid.recursion.cores import CORES, TRM, Core
from hybrid.recursion.equilibrium import Implicit, Phantom, as_map, iterate, jacobian_norm, neumann
from hybrid.recursion.gradients import GRADIENTS, Full
from hybrid.recursion.workspace import Workspace

D, ROWS, LENGTH = 6, 2, 3
TIGHT = {"tolerance": 1e-13, "max_iterations": 300}


class Contraction(Core):
    """Two states, coupled: z <- tanh(A z + B y + x), then y <- tanh(C y + E z), weights small."""

    def __init__(self):
        super().__init__()
        self.weights = nn.ParameterList(0.25 * nn.init.orthogonal_(torch.empty(D, D)) for _ in range(4))

    def cycle(self):
        return [self.think, self.answer]

    def think(self, state, workspace):
        y, z = state
        return y, torch.tanh(z @ self.weights[0] + y @ self.weights[1] + workspace.x)

    def answer(self, state, workspace):
        y, z = state
        return torch.tanh(y @ self.weights[2] + z @ self.weights[3]), z


@pytest.fixture
def core():
    return Contraction().double()


@pytest.fixture
def x():
    return torch.randn(ROWS, LENGTH, D, dtype=torch.float64, requires_grad=True)


def start(count=2):
    return tuple(torch.zeros(ROWS, LENGTH, D, dtype=torch.float64) for _ in range(count))


def through_cycles(core, x, cycles, *, first_with_gradient=0):
    """Run cycles one by one with autograd; those before `first_with_gradient` without."""
    joined = torch.cat(start(), dim=-1)
    for cycle in range(cycles):
        joined = as_map(core, Workspace(x, None))(joined)
        if cycle < first_with_gradient:
            joined = joined.detach()
    return tuple(joined.chunk(2, dim=-1))


def gradients(state, core, x):
    """Differentiate a readout of both states with respect to the workspace and every weight."""
    loss = (state[0] * torch.linspace(-1, 2, D)).sin().sum() + 0.3 * state[1].square().sum()
    return torch.autograd.grad(loss, [x, *core.parameters()])


def close(found, expected, relative):
    for one, other in zip(found, expected, strict=True):
        assert (one - other).detach().norm() < relative * other.detach().norm()


def test_the_implicit_gradient_is_that_of_back_propagation_through_many_cycles(core, x):
    rule = Implicit(Implicit.Config(max_adjoint_iterations=300, **TIGHT))
    found, expected = rule.run(core, start(), Workspace(x, None), 1), through_cycles(core, x, 80)
    close(found, expected, 1e-10)
    close(gradients(found, core, x), gradients(expected, core, x), 1e-6)
    assert rule.residual < 1e-13 and rule.adjoint_residual < 1e-13


def test_the_implicit_gradient_agrees_with_finite_differences(core, x):
    def value():
        y, _ = Implicit(Implicit.Config(max_adjoint_iterations=300, **TIGHT)).run(core, start(), Workspace(x, None), 1)
        return (y * torch.linspace(-1, 2, D)).sum()

    for tensor in (x, core.weights[1]):
        (gradient,) = torch.autograd.grad(value(), tensor)
        direction = torch.randn_like(tensor)
        with torch.no_grad():
            tensor += 1e-5 * direction
            above = value()
            tensor -= 2e-5 * direction
            below = value()
            tensor += 1e-5 * direction
        torch.testing.assert_close((above - below) / 2e-5, (gradient * direction).sum(), rtol=1e-6, atol=0)


def test_a_config_that_asks_for_anderson_loads_with_a_warning():
    with pytest.warns(UserWarning, match="plain iteration takes its place"):
        assert GRADIENTS.from_dict({"kind": "implicit", "solver": "anderson"}).tolerance == Implicit.Config().tolerance


def test_a_gradient_of_one_state_alone_takes_both_states_into_account(core, x):
    rule = Implicit(Implicit.Config(max_adjoint_iterations=300, **TIGHT))
    for index in (0, 1):
        found, expected = (
            state[index].sum() for state in (rule.run(core, start(), Workspace(x, None), 1), through_cycles(core, x, 80))
        )
        (mine,), (theirs,) = torch.autograd.grad(found, x), torch.autograd.grad(expected, x)
        close([mine], [theirs], 1e-6)


def test_without_an_adjoint_the_gradient_would_be_another(core, x):
    """The test above would not notice a hook that does nothing, were one cycle's gradient the same."""
    point = torch.cat(through_cycles(core, x, 80), dim=-1).detach()
    once = as_map(core, Workspace(x, None))(point).chunk(2, dim=-1)
    mine, theirs = gradients(once, core, x)[0], gradients(through_cycles(core, x, 80), core, x)[0]
    assert float((mine - theirs).norm()) > 0.01 * float(theirs.norm())


def linear_map(size=8, radius=0.9):
    matrix = nn.init.orthogonal_(torch.empty(size, size, dtype=torch.float64)) * radius
    offset = torch.randn(size, dtype=torch.float64)
    return (lambda s: s @ matrix.T + offset), torch.linalg.solve(torch.eye(size, dtype=torch.float64) - matrix, offset)


def test_iteration_finds_the_fixed_point_of_a_linear_map():
    function, exact = linear_map()
    found = iterate(function, torch.zeros(1, 1, 8, dtype=torch.float64), tolerance=1e-12, max_iterations=500)
    torch.testing.assert_close(found.value[0, 0], exact, rtol=0, atol=1e-10)
    assert found.residual < 1e-12 and found.iterations < 500


def test_the_residual_and_the_number_of_evaluations_are_told():
    calls = []

    def halved(s):
        calls.append(s)
        return 0.5 * s + 1.0

    found = iterate(halved, torch.zeros(1, 1, 3, dtype=torch.float64), tolerance=1e-30, max_iterations=3)
    assert found.iterations == 3 == len(calls)
    expected = [float((0.5 * s + 1 - s).norm() / (0.5 * s + 1).norm()) for s in calls]
    assert found.residual == pytest.approx(min(expected), rel=1e-9)
    assert iterate(halved, torch.full((1, 1, 3), 2.0), tolerance=1e-6, max_iterations=9).iterations == 1


def test_the_adjoint_series_sums_to_the_solution_where_the_map_contracts():
    function, exact = linear_map(radius=0.8)
    offset = function(torch.zeros(8, dtype=torch.float64))
    found = neumann(lambda s: function(s) - offset, offset.view(1, 1, 8), tolerance=1e-12, max_iterations=500)
    torch.testing.assert_close(found.value[0, 0], exact, rtol=0, atol=1e-10)
    assert found.residual < 1e-12 and 50 < found.iterations < 500


def test_a_row_whose_series_grows_keeps_its_first_terms_and_the_others_theirs():
    factor = torch.tensor([0.5, 1.5, 3.0], dtype=torch.float64).view(3, 1, 1)
    first = torch.ones(3, 2, 2, dtype=torch.float64)
    found = neumann(lambda s: factor * s, first, tolerance=1e-12, max_iterations=100)
    torch.testing.assert_close(found.value[:, 0, 0], torch.tensor([2.0, 1 + 1.5, 1.0], dtype=torch.float64))
    alone = neumann(lambda s: 0.5 * s, first[:1], tolerance=1e-12, max_iterations=100)
    assert torch.equal(found.value[:1], alone.value) and found.residual == pytest.approx(0.75)


def test_far_from_rest_the_implicit_gradient_is_that_of_one_cycle(core, x):
    """Weights that expand: the series would grow without end, and the gradient with it."""
    with torch.no_grad():
        for weight in core.parameters():
            weight *= 40
    config = {"tolerance": 1e-9, "max_iterations": 1}
    found = gradients(
        Implicit(Implicit.Config(max_adjoint_iterations=50, **config)).run(core, start(), Workspace(x, None), 1), core, x
    )
    expected = gradients(through_cycles(core, x, 2, first_with_gradient=1), core, x)
    rows = [torch.allclose(one, other) for one, other in zip(found, expected, strict=True)]
    assert all(one.isfinite().all() for one in found) and any(rows)


def test_a_scheme_tells_the_residual_and_iterations_of_its_last_solve(core, x):
    for rule in (Implicit(Implicit.Config(tolerance=1e-30, max_iterations=5)), Phantom(Phantom.Config(max_iterations=1))):
        rule.run(core, start(), Workspace(x, None), 1)
        joined = torch.cat(through_cycles(core, x, rule.config.max_iterations - 1), dim=-1)
        image = as_map(core, Workspace(x.detach(), None))(joined)
        assert rule.iterations == rule.config.max_iterations
        assert rule.residual == pytest.approx(
            ((image - joined).flatten(1).norm(dim=1) / image.flatten(1).norm(dim=1)).max().item()
        )


@pytest.mark.parametrize("kind", [Implicit, Phantom])
def test_a_row_comes_to_rest_as_it_does_alone_whatever_stands_beside_it(core, x, kind):
    rule = kind(kind.Config(tolerance=1e-4, max_iterations=9))
    padded = torch.cat([x.detach(), 50 * torch.randn_like(x[:, :2])], dim=1)
    mask = torch.ones(padded.shape[:2], dtype=torch.bool)
    mask[:, x.shape[1] :] = False
    state = tuple(torch.zeros_like(padded) for _ in range(2))
    together = rule.run(core, state, Workspace(padded, torch.ones(len(padded)), mask), 1)
    for row in range(len(x)):
        alone = rule.run(
            core, tuple(z[row : row + 1, : x.shape[1]] for z in state), Workspace(x[row : row + 1].detach(), None), 1
        )
        for one, other in zip(together, alone, strict=True):
            torch.testing.assert_close(one[row : row + 1, : x.shape[1]], other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("k", [1, 3])
def test_phantom_without_damping_is_back_propagation_through_k_cycles_from_the_fixed_point(core, x, k):
    rule = Phantom(Phantom.Config(k=k, damping=1.0, **TIGHT))
    found = rule.run(core, start(), Workspace(x, None), 1)
    expected = through_cycles(core, x, rule.iterations + k, first_with_gradient=rule.iterations)
    close(found, expected, 1e-12)
    close(gradients(found, core, x), gradients(expected, core, x), 1e-10)


def test_damped_phantom_steps_move_only_part_of_the_way(core, x):
    found = Phantom(Phantom.Config(k=2, damping=0.25, max_iterations=1)).run(core, start(), Workspace(x, None), 1)
    function = as_map(core, Workspace(x, None))
    joined = function(torch.cat(start(), dim=-1)).detach()
    for _ in range(2):
        joined = 0.75 * joined + 0.25 * function(joined)
    close(found, joined.chunk(2, dim=-1), 1e-12)
    close(gradients(found, core, x), gradients(joined.chunk(2, dim=-1), core, x), 1e-10)


def test_many_phantom_steps_come_to_the_implicit_gradient(core, x):
    exact = gradients(
        Implicit(Implicit.Config(max_adjoint_iterations=300, **TIGHT)).run(core, start(), Workspace(x, None), 1), core, x
    )
    many = gradients(Phantom(Phantom.Config(k=60, damping=0.8, **TIGHT)).run(core, start(), Workspace(x, None), 1), core, x)
    close(many, exact, 1e-6)


def graph_size(tensor):
    """Return the number of nodes of the graph behind a tensor."""
    seen, stack = set(), [tensor.grad_fn]
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            stack += [below for below, _ in node.next_functions]
    return len(seen)


@pytest.mark.parametrize("scheme", [Implicit, Phantom])
def test_the_graph_and_what_it_keeps_do_not_grow_with_the_iterations(core, x, scheme):
    sizes, kept = [], []
    for iterations in (2, 50):
        packed = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, packed=packed: packed.append(t.nbytes) or t, lambda t: t):
            rule = scheme(scheme.Config(tolerance=1e-30, max_iterations=iterations))
            y, _ = rule.run(core, start(), Workspace(x, None), 1)
        assert rule.iterations == iterations
        sizes.append(graph_size(y))
        kept.append(sum(packed))
    assert sizes[0] == sizes[1] and kept[0] == kept[1] > 0
    assert graph_size(through_cycles(core, x, 50)[0]) > 10 * sizes[0]


def test_padding_changes_no_answer_and_gets_no_gradient():
    core = CORES.build(CORES["trm"].Config(num_layers=1), AttentionBlock.Config(num_heads=2), 16)
    mask = torch.tensor([[True, True, False, True]])
    found = []
    for noise in (0.0, 5.0):
        torch.manual_seed(1)
        x = (torch.randn(1, 4, 16) + noise * ~mask[..., None]).requires_grad_()
        y, _ = Implicit(Implicit.Config(tolerance=1e-6)).run(
            core, (torch.ones(1, 4, 16),) * 2, Workspace(x, torch.ones(1), mask), 1
        )
        (gradient,) = torch.autograd.grad(y[mask].square().sum() + y[mask].sum(), x)
        assert gradient[~mask].abs().max() == 0 and gradient[mask].abs().max() > 0
        found.append((y[mask], gradient[mask]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", CORES)
@pytest.mark.parametrize("scheme", ["implicit", "phantom"])
def test_every_core_is_trained_by_the_implicit_schemes(kind, scheme):
    core = CORES.build(CORES[kind].Config(), AttentionBlock.Config(num_heads=2), 16)
    x = torch.randn(1, 3, 16, requires_grad=True)
    state = (torch.randn(1, 3, 16),) * core.num_states
    found = GRADIENTS.build(GRADIENTS[scheme].Config()).run(core, state, Workspace(x, None), 2)
    assert len(found) == core.num_states
    found[0].square().mul(torch.linspace(0, 1, 16)).sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in (x, *core.parameters())) and x.grad.abs().sum() > 0


def test_a_core_without_recursion_gets_its_plain_gradient():
    core = CORES.build(CORES["feed_forward"].Config(), AttentionBlock.Config(num_heads=2), 16)
    x = torch.randn(1, 3, 16, requires_grad=True)
    weights = torch.linspace(0, 1, 16)
    (y,) = Implicit(Implicit.Config()).run(core, (torch.zeros(1, 3, 16),), Workspace(x, None), 1)
    mine = torch.autograd.grad((y * weights).sum(), [x, *core.parameters()])
    theirs = torch.autograd.grad((core.network(x) * weights).sum(), [x, *core.parameters()])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(mine, theirs, strict=True))


def test_without_gradient_nothing_is_recorded(core, x):
    with torch.no_grad():
        y, z = Implicit(Implicit.Config()).run(core, start(), Workspace(x, None), 1)
    assert not y.requires_grad and not z.requires_grad


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        (Implicit.Config, {"tolerance": 0.0}),
        (Implicit.Config, {"max_iterations": 0}),
        (Implicit.Config, {"max_adjoint_iterations": 0}),
        (Phantom.Config, {"tolerance": -1.0}),
        (Phantom.Config, {"k": 0}),
        (Phantom.Config, {"damping": 0.0}),
        (Phantom.Config, {"damping": 1.5}),
    ],
)
def test_values_out_of_range_are_refused_by_name(config, fields):
    with pytest.raises(ConfigError, match=rf"gradient\.{next(iter(fields))}"):
        config(**fields)


class DampedTRM(Core):
    """A TRM of one attention layer that moves a tenth of the way a call: a contraction with the real network inside."""

    def __init__(self):
        super().__init__()
        self.trm = TRM(TRM.Config(num_layers=1, num_latent_steps=2), AttentionBlock.Config(num_heads=1), D)

    def cycle(self):
        return [lambda s, w, call=call: tuple(0.1 * part for part in call(s, w)) for call in self.trm.cycle()]


@pytest.mark.parametrize("make", [Contraction, DampedTRM])
def test_implicit_gradients_equal_full_back_propagation_at_convergence(x, make):
    core = make().double()
    rule = Implicit(Implicit.Config(max_adjoint_iterations=300, **TIGHT))
    near = tuple(part.detach() for part in through_cycles(core, x, 100))
    found, full = (
        rule.run(core, near, Workspace(x, None), 1),
        GRADIENTS.build(Full.Config()).run(core, near, Workspace(x, None), 60),
    )
    close(found, full, 1e-11)
    close(gradients(found, core, x), gradients(full, core, x), 1e-6)


@pytest.mark.parametrize("make", [Contraction, DampedTRM])
def test_implicit_gradients_equal_those_of_torchdeq(x, make):
    torchdeq = pytest.importorskip("torchdeq")
    core = make().double()
    solver = {"f_solver": "fixed_point_iter", "b_solver": "fixed_point_iter", "f_max_iter": 300, "b_max_iter": 300}
    deq = torchdeq.get_deq(ift=True, f_tol=1e-13, b_tol=1e-13, f_stop_mode="rel", b_stop_mode="rel", **solver)
    deq.train()
    (point,), _ = deq(as_map(core, Workspace(x, None)), torch.cat(start(), dim=-1))
    theirs = tuple(point.chunk(2, dim=-1))
    mine = Implicit(Implicit.Config(max_adjoint_iterations=300, **TIGHT)).run(core, start(), Workspace(x, None), 1)
    close(mine, theirs, 1e-10)
    close(gradients(mine, core, x), gradients(theirs, core, x), 1e-6)


def test_the_jacobian_norm_is_that_of_the_cycle_at_the_point():
    matrix = 0.3 * torch.randn(D, D, dtype=torch.float64)

    class Linear(Core):
        num_states = 1

        def cycle(self):
            return [lambda state, workspace: (state[0] @ matrix + workspace.x,)]

    point, x = (torch.randn(400, LENGTH, D, dtype=torch.float64) for _ in range(2))
    found = jacobian_norm(Linear(), point, Workspace(x, None))
    assert float(found) == pytest.approx(float(matrix.square().sum()) / D, rel=0.1)


def test_the_jacobian_penalty_makes_the_core_contract(x):
    core = TRM(TRM.Config(num_layers=1, num_latent_steps=1), AttentionBlock.Config(num_heads=1), D).double()
    rule = Implicit(Implicit.Config(max_iterations=3, jacobian_weight=1.0))
    optimizer = torch.optim.Adam(core.parameters(), lr=0.01)
    course = []
    for _ in range(60):
        rule.run(core, start(), Workspace(x.detach(), None), 1)
        course.append(float(rule.penalty.detach()))
        optimizer.zero_grad()
        rule.penalty.backward()
        optimizer.step()
    assert sum(course[-10:]) < 0.5 * sum(course[:10])


def test_no_penalty_is_computed_where_none_is_asked_for_or_nothing_is_learned(core, x):
    rule = Implicit(Implicit.Config(max_iterations=3))
    rule.run(core, start(), Workspace(x, None), 1)
    assert rule.penalty is None
    rule = Implicit(Implicit.Config(max_iterations=3, jacobian_weight=1.0))
    with torch.no_grad():
        rule.run(core, start(), Workspace(x, None), 1)
    assert rule.penalty is None
    assert set(rule.figures()) == {"residual", "iterations", "adjoint_residual"}
