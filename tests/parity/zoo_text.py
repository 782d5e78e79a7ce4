"""Models of models/zoo that read tokens and nodes, in PyTorch, with the names that models/zoo has from elsewhere.

Each returns loss and logits.
"""

import torch
import torch.nn.functional as F
from torch import nn


def cross_entropy(logits, target, ignore_index=-100):
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=ignore_index)


def heads_of(x, heads):
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


# --- BERT, with the names of Hugging Face's BertForMaskedLM ------------------


class BertEmbeddings(nn.Module):
    def __init__(self, vocabulary, length, width):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, width)
        self.position_embeddings = nn.Embedding(length, width)
        self.token_type_embeddings = nn.Embedding(2, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, tokens, segment):
        place = self.position_embeddings.weight[: tokens.shape[1]]
        return self.LayerNorm(
            self.word_embeddings(tokens) + self.token_type_embeddings(segment) + place
        )


class BertSelfAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, x, mask):
        q, k, v = (heads_of(f(x), self.heads) for f in (self.query, self.key, self.value))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return y.transpose(1, 2).flatten(2)


class BertOutput(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        self.dense = nn.Linear(inputs, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, y, x):
        return self.LayerNorm(self.dense(y) + x)


class BertAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.self = BertSelfAttention(width, heads)
        self.output = BertOutput(width, width)

    def forward(self, x, mask):
        return self.output(self.self(x, mask), x)


class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = BertAttention(width, heads)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, hidden)})
        self.output = BertOutput(hidden, width)

    def forward(self, x, mask):
        y = self.attention(x, mask)
        return self.output(F.gelu(self.intermediate["dense"](y)), y)


class Bert(nn.Module):
    def __init__(
        self, vocabulary=30522, length=512, width=768, depth=12, heads=12, hidden=3072
    ):
        super().__init__()
        layers = nn.ModuleList(BertLayer(width, heads, hidden) for _ in range(depth))
        self.bert = nn.ModuleDict(
            {
                "embeddings": BertEmbeddings(vocabulary, length, width),
                "encoder": nn.ModuleDict({"layer": layers}),
            }
        )
        predictions = nn.Module()
        predictions.bias = nn.Parameter(torch.zeros(vocabulary))
        predictions.transform = nn.ModuleDict(
            {"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps=1e-12)}
        )
        self.cls = nn.ModuleDict({"predictions": predictions})

    def forward(self, tokens, segment, mask, target):
        embeddings, predictions = self.bert["embeddings"], self.cls["predictions"]
        x = embeddings(tokens, segment)
        for layer in self.bert["encoder"]["layer"]:
            x = layer(x, (mask != 0)[:, None, None])
        x = predictions.transform["LayerNorm"](F.gelu(predictions.transform["dense"](x)))
        logits = F.linear(x, embeddings.word_embeddings.weight, predictions.bias)
        return cross_entropy(logits, target), logits


def bert_inputs(batch, length, vocabulary):
    tokens = torch.randint(0, vocabulary, (batch, length))
    place = torch.arange(length).expand(batch, length)
    ends = length - torch.arange(batch)[:, None] % 3
    return {
        "tokens": tokens,
        "segment": (2 * place >= length).long(),
        "mask": (place < ends).long(),
        "target": torch.where(place % 3 == 0, tokens, -100),
    }


def bert_bench(batch):
    tokens = torch.randint(0, 30522, (batch, 128))
    place = torch.arange(128).expand(batch, 128)
    return {
        "tokens": tokens,
        "segment": (place >= 64).long(),
        "mask": torch.ones_like(tokens),
        "target": torch.where(place % 7 == 0, tokens, -100),
    }


# --- Llama, with the names of Hugging Face's LlamaForCausalLM ----------------


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rotate(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin


class LlamaAttention(nn.Module):
    def __init__(self, width, heads, groups):
        super().__init__()
        self.heads, self.groups = heads, groups
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, groups * width // heads, bias=False)
        self.v_proj = nn.Linear(width, groups * width // heads, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, x, cos, sin):
        q = rotate(heads_of(self.q_proj(x), self.heads), cos, sin)
        k = rotate(heads_of(self.k_proj(x), self.groups), cos, sin)
        v = heads_of(self.v_proj(x), self.groups)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.o_proj(y.transpose(1, 2).flatten(2))


class LlamaMLP(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.gate_proj = nn.Linear(width, hidden, bias=False)
        self.up_proj = nn.Linear(width, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class LlamaLayer(nn.Module):
    def __init__(self, width, heads, groups, hidden, eps):
        super().__init__()
        self.self_attn = LlamaAttention(width, heads, groups)
        self.mlp = LlamaMLP(width, hidden)
        self.input_layernorm = RMSNorm(width, eps)
        self.post_attention_layernorm = RMSNorm(width, eps)

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    def __init__(
        self,
        vocabulary=32000,
        width=512,
        depth=8,
        heads=8,
        groups=2,
        hidden=1408,
        base=10000,
        eps=1e-5,
    ):
        super().__init__()
        self.base, self.part = base, width // heads
        layers = (LlamaLayer(width, heads, groups, hidden, eps) for _ in range(depth))
        self.model = nn.ModuleDict(
            {
                "embed_tokens": nn.Embedding(vocabulary, width),
                "layers": nn.ModuleList(layers),
                "norm": RMSNorm(width, eps),
            }
        )
        self.lm_head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens, target):
        x = self.model["embed_tokens"](tokens)
        rate = self.base ** (-torch.arange(0, self.part, 2, dtype=x.dtype) / self.part)
        angle = torch.arange(tokens.shape[1], dtype=x.dtype)[:, None] * rate
        angle = torch.cat((angle, angle), dim=-1)
        for layer in self.model["layers"]:
            x = layer(x, angle.cos(), angle.sin())
        logits = self.lm_head(self.model["norm"](x))
        return cross_entropy(logits, target), logits


# --- LSTM, with the names of PyTorch's word_language_model example -----------


class RNNModel(nn.Module):
    def __init__(self, vocabulary=10000, width=256, hidden=256):
        super().__init__()
        self.encoder = nn.Embedding(vocabulary, width)
        self.rnn = nn.LSTM(width, hidden, batch_first=True)
        self.decoder = nn.Linear(hidden, vocabulary)

    def forward(self, tokens, target):
        logits = self.decoder(self.rnn(self.encoder(tokens))[0])
        return cross_entropy(logits, target), logits


# --- a graph network, with the names of PyTorch Geometric's GCN --------------


class GCNConv(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.lin = nn.Linear(inputs, outputs, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x, edges, weight, own):
        y = self.lin(x)
        sent = y[edges[0]] * weight[:, None]
        return torch.zeros_like(y).index_add(0, edges[1], sent) + y * own[:, None] + self.bias


class GCN(nn.Module):
    def __init__(self, features=128, hidden=256, depth=3, classes=40):
        super().__init__()
        widths = [features] + [hidden] * (depth - 1) + [classes]
        self.convs = nn.ModuleList(GCNConv(*pair) for pair in zip(widths, widths[1:]))

    def forward(self, x, edges, label):
        ones = x.new_ones(edges.shape[1])
        root = torch.rsqrt(1 + x.new_zeros(len(x)).index_add(0, edges[1], ones))
        weight = root[edges[0]] * root[edges[1]]
        for i, conv in enumerate(self.convs):
            x = conv(x if i == 0 else F.relu(x), edges, weight, root * root)
        return F.cross_entropy(x, label), x


def graph_inputs(nodes, edges, features, classes):
    return {
        "x": torch.randn(nodes, features),
        "edges": torch.randint(0, nodes, (2, edges)),
        "label": torch.randint(0, classes, (nodes,)),
    }


def graph_bench(nodes):
    source = torch.randint(0, nodes, (nodes, 8))
    target = torch.arange(nodes)[:, None].expand(nodes, 8)
    return {
        "x": torch.randn(nodes, 128),
        "edges": torch.stack((source.flatten(), target.flatten())),
        "label": torch.randint(0, 40, (nodes,)),
    }
