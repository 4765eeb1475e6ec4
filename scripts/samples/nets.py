"""The two sample backbones and the LoRA layers they are checked with.  Needs only torch.

ViT     timm's parameter names: cls_token, pos_embed, patch_embed.proj, blocks.N.{norm1,attn.qkv,attn.proj,norm2,mlp.fc1,mlp.fc2},
        norm, head.  Pre-norm (arXiv 2010.11929), fused qkv, erf GELU, LayerNorm eps 1e-6.
ResNet  timm's and torchvision's: conv1, bn1, layer1..4.N.{conv1,bn1,conv2,bn2,downsample.0,downsample.1}, fc (arXiv 1512.03385);
        a 3x3 stem of stride 2 and no pooling after it, for 64x64 images.
LoRA    y = base(x) + alpha/r * B(A(x)) (arXiv 2106.09685).  Linear: A (r, in), B (out, r).  Convolution: A (r, in, kH, kW) with
        the base's stride and padding, B (out, r, 1, 1).  A Kaiming-uniform with a = sqrt 5, B zero."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -.5
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        w = ((q * self.scale) @ k.transpose(-2, -1)).softmax(-1)
        return self.proj((w @ v).transpose(1, 2).reshape(b, n, c))


class Mlp(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, dim, heads, ratio):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(dim, eps=1e-6), Attention(dim, heads)
        self.norm2, self.mlp = nn.LayerNorm(dim, eps=1e-6), Mlp(dim, dim * ratio)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, patch, dim):
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, patch)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


def sincos(grid, dim):
    """Sines and cosines of the patch's row and column (1, grid*grid, dim): a start for pos_embed that a short training can use
    (arXiv 2205.01580); it is trained on from there."""
    k = dim // 4
    w = 1 / 100 ** (torch.arange(k) / (k - 1))
    y, x = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    y, x = y.flatten()[:, None] * w, x.flatten()[:, None] * w
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], 1)[None] * .5


class ViT(nn.Module):
    def __init__(self, classes, size=64, patch=8, dim=96, depth=4, heads=4, ratio=4):
        super().__init__()
        self.dim = dim
        self.patch_embed = PatchEmbed(patch, dim)
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim) * .02)
        self.pos_embed = nn.Parameter(torch.cat([torch.zeros(1, 1, dim), sincos(size // patch, dim)], 1))
        self.blocks = nn.Sequential(*[Block(dim, heads, ratio) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, classes)
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.trunc_normal_(m.weight, std=.05)
                nn.init.zeros_(m.bias)

    def features(self, x):
        x = self.patch_embed(x)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.pos_embed
        return self.norm(self.blocks(x))[:, 0]

    def forward(self, x):
        return self.head(self.features(x))


class BasicBlock(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout)
        self.conv2, self.bn2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False), nn.BatchNorm2d(cout)
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, classes, widths=(16, 32, 64, 96), depths=(2, 2, 2, 2)):
        super().__init__()
        self.dim = widths[-1]
        self.conv1, self.bn1 = nn.Conv2d(3, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0])
        cin = widths[0]
        for k, (w, d) in enumerate(zip(widths, depths), 1):
            blocks = [BasicBlock(cin if i == 0 else w, w, 2 if i == 0 and k > 1 else 1) for i in range(d)]
            setattr(self, f"layer{k}", nn.Sequential(*blocks))
            cin = w
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(cin, classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")

    def features(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.avgpool(self.layer4(self.layer3(self.layer2(self.layer1(x))))).flatten(1)

    def forward(self, x):
        return self.fc(self.features(x))


BACKBONES = {"vit_64": ViT, "resnet_64": ResNet}


class LoRALinear(nn.Module):
    def __init__(self, base, r, alpha):
        super().__init__()
        self.base_layer, self.scaling = base, alpha / r
        self.lora_A, self.lora_B = nn.Linear(base.in_features, r, bias=False), nn.Linear(r, base.out_features, bias=False)
        nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x):
        return self.base_layer(x) + self.lora_B(self.lora_A(x)) * self.scaling


class LoRAConv2d(nn.Module):
    def __init__(self, base, r, alpha):
        super().__init__()
        self.base_layer, self.scaling = base, alpha / r
        self.lora_A = nn.Conv2d(base.in_channels, r, base.kernel_size, base.stride, base.padding, bias=False)
        self.lora_B = nn.Conv2d(r, base.out_channels, 1, bias=False)
        nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x):
        return self.base_layer(x) + self.lora_B(self.lora_A(x)) * self.scaling


def inject(model, r=8, alpha=16):
    """Freezes the model and puts an adapter on every linear layer and convolution, in place."""
    for p in model.parameters():
        p.requires_grad_(False)
    for name, m in list(model.named_modules()):
        if isinstance(m, (nn.Linear, nn.Conv2d)):
            parent, _, leaf = name.rpartition(".")
            layer = LoRAConv2d if isinstance(m, nn.Conv2d) else LoRALinear
            setattr(model.get_submodule(parent), leaf, layer(m, r, alpha))
