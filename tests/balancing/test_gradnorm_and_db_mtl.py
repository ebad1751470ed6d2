"""GradNorm and DB-MTL against plain implementations of the equations in their papers."""

import torch
from small import losses_of, method_of, net_and_batch, updated

from mtsearch.config import schema


def jacobian_of(net, x, targets, transform=lambda loss: loss):
    terms = [transform(loss) for loss in losses_of(net, net.share(x), targets)]
    rows = [
        torch.autograd.grad(term, net.shared_parameters, retain_graph=True, materialize_grads=True)
        for term in terms
    ]
    return (
        torch.stack([torch.cat([g.flatten() for g in row]) for row in rows]),
        torch.stack(terms).detach(),
    )


def shared(found, net):
    return torch.cat([g.flatten() for name, g in found.items() if not name.startswith("heads")])


def test_gradnorm_follows_its_equations():
    net, x, targets = net_and_batch(3)
    method = method_of(schema.GradNormConfig(level="parameter", alpha=0.7, lr=0.1), 3)
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([logits], lr=0.1)
    first = None
    for number in range(4):
        moved = targets * (1 + number)
        jacobian, losses = jacobian_of(net, x, moved)
        weights = 3 * torch.softmax(logits, 0)
        found = updated(method, net, x, moved)
        assert torch.allclose(
            shared(found, net), weights.detach() @ jacobian, rtol=1e-9, atol=1e-12
        )
        first = losses if first is None else first
        lengths = torch.stack([(w * row).norm() for w, row in zip(weights, jacobian, strict=True)])
        ratios = losses / first
        goal = (lengths.mean() * (ratios / ratios.mean()) ** 0.7).detach()
        adam.zero_grad()
        ((lengths - goal).abs().sum() / lengths.mean().detach()).backward()
        adam.step()


def test_gradnorm_equalises_gradient_lengths():
    jacobian = torch.diag(torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64))
    method = method_of(schema.GradNormConfig(lr=0.1), 3)
    for _ in range(400):
        weights = method.weights(jacobian @ jacobian.T, torch.ones(3))
    lengths = weights @ jacobian
    assert weights.sum().item() - 3 < 1e-9 and lengths.max() / lengths.min() < 1.2


def test_db_mtl_follows_its_algorithm():
    net, x, targets = net_and_batch(3)
    method = method_of(schema.DBMTLConfig(memory=0.6, fading=0.5), 3)
    mean = torch.zeros(())
    for number in range(1, 4):
        jacobian, _ = jacobian_of(net, x, targets * number, lambda loss: (loss + 1e-8).log())
        keep = 0.6 / number**0.5
        mean = keep * mean + (1 - keep) * jacobian
        lengths = mean.norm(dim=1)
        expected = (lengths.max() / lengths) @ mean
        assert torch.allclose(
            shared(updated(method, net, x, targets * number), net), expected, rtol=1e-7, atol=1e-10
        )


def test_db_mtl_without_memory_equalises_log_gradients():
    net, x, targets = net_and_batch(2)
    method = method_of(schema.DBMTLConfig(level="feature", memory=0.0), 2)
    feature = [f.detach().requires_grad_() for f in net.share(x)]
    rows = [
        torch.autograd.grad(loss.log(), feature, retain_graph=True, allow_unused=True)
        for loss in losses_of(net, feature, targets)
    ]
    blocks = [
        [torch.zeros_like(f) if g is None else g for g, f in zip(row, feature, strict=True)]
        for row in rows
    ]
    lengths = torch.stack([torch.cat([b.flatten() for b in row]).norm() for row in blocks])
    combined = [sum(lengths.max() / lengths[i] * blocks[i][j] for i in range(2)) for j in range(2)]
    expected = torch.autograd.grad(net.share(x), net.shared_parameters, combined)
    found = shared(updated(method, net, x, targets), net)
    assert torch.allclose(found, torch.cat([g.flatten() for g in expected]), rtol=1e-6)
