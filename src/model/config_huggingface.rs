//! Hyperparameters from `config.json`, in the forms that transformers 4 and 5 write.

use serde_json::Value;

use super::ModelError;
use super::config::{Config, Layer, Rope, RopeScaling};
use crate::kernels::gated_activation::Activation;
use crate::kernels::rope_append::Pairing;

pub(super) fn read(config: &Value) -> Result<Config, ModelError> {
    let model_type = config.get("model_type").and_then(Value::as_str).unwrap_or_default();
    // Multimodal Gemma 3 nests its text model.
    if model_type == "gemma3"
        && let Some(text) = config.get("text_config")
    {
        return Reader { json: text, architecture: "gemma3_text" }.read();
    }
    match model_type {
        "llama" | "mistral" | "qwen2" | "qwen3" | "gemma3_text" => {
            Reader { json: config, architecture: model_type }.read()
        }
        "" => Err(ModelError::Missing("model_type".to_owned())),
        other => Err(ModelError::Architecture(other.to_owned())),
    }
}

struct Reader<'a> {
    json: &'a Value,
    architecture: &'a str,
}

impl Reader<'_> {
    fn read(&self) -> Result<Config, ModelError> {
        let gemma = self.architecture == "gemma3_text";
        let dim = self.size("hidden_size")?;
        let heads = self.size("num_attention_heads")?;
        let context = self.optional_size("max_position_embeddings")?.unwrap_or(2048);
        let head_dim = match self.optional_size("head_dim")? {
            Some(head_dim) => head_dim,
            None if heads > 0 && dim % heads == 0 => dim / heads,
            None => return Err(self.bad("num_attention_heads", heads, "does not divide the hidden size")),
        };
        let layers = self.layers(self.size("num_hidden_layers")?, context)?;
        let attention_scale = if gemma {
            1.0 / self.number("query_pre_attn_scalar")?.unwrap_or(256.0).sqrt()
        } else {
            1.0 / (head_dim as f64).sqrt()
        };
        for key in ["final_logit_softcapping", "attn_logit_softcapping", "mlp_bias", "use_bidirectional_attention"] {
            if self.get(key).is_some_and(|value| *value != Value::Bool(false)) {
                return Err(ModelError::Unsupported(format!("'{key}' in config.json")));
            }
        }
        let (rope, rope_sliding) = self.rope(gemma, head_dim)?;
        Ok(Config {
            architecture: self.architecture.to_owned(),
            dim,
            ffn_dim: self.size("intermediate_size")?,
            heads,
            kv_heads: self.optional_size("num_key_value_heads")?.unwrap_or(heads),
            head_dim,
            vocabulary: self.size("vocab_size")?,
            context,
            norm_eps: self.number("rms_norm_eps")?.unwrap_or(1e-6) as f32,
            norm_offset: if gemma { 1.0 } else { 0.0 },
            embedding_scale: if gemma { (dim as f32).sqrt() } else { 1.0 },
            attention_scale: attention_scale as f32,
            activation: self.activation()?,
            pairing: Pairing::Half,
            rope,
            rope_sliding,
            qk_norm: gemma || self.architecture == "qwen3",
            post_norms: gemma,
            tied: Some(self.get("tie_word_embeddings").and_then(Value::as_bool).unwrap_or(gemma)),
            layers,
        })
    }

    fn activation(&self) -> Result<Activation, ModelError> {
        let name = self.get("hidden_activation").or_else(|| self.get("hidden_act")).and_then(Value::as_str);
        let default = if self.architecture == "gemma3_text" { "gelu_pytorch_tanh" } else { "silu" };
        match name.unwrap_or(default) {
            "silu" | "swish" => Ok(Activation::Silu),
            "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            other => Err(ModelError::Unsupported(format!("the activation '{other}'"))),
        }
    }

    /// Which layers slide: `layer_types`, or the older rules of each family.
    fn layers(&self, count: usize, context: usize) -> Result<Vec<Layer>, ModelError> {
        let window = self.optional_size("sliding_window")?;
        // A hostile count would otherwise allocate before it is validated.
        let count = count.min(1 << 13);
        if let Some(types) = self.get("layer_types").and_then(Value::as_array) {
            if types.len() != count {
                return Err(self.bad("layer_types", types.len(), "differs from the number of layers"));
            }
            let layer = |kind: &Value| match kind.as_str() {
                Some("full_attention") => Ok(Layer::full()),
                Some("sliding_attention") => Ok(Layer::sliding(window, context)),
                _ => Err(ModelError::Unsupported(format!("the layer type {kind}"))),
            };
            return types.iter().map(layer).collect();
        }
        let slides: Box<dyn Fn(usize) -> bool> = match self.architecture {
            "gemma3_text" => {
                let pattern = self.optional_size("sliding_window_pattern")?.unwrap_or(6).max(1);
                Box::new(move |i| (i + 1) % pattern != 0)
            }
            "mistral" => Box::new(|_| true),
            "qwen2" | "qwen3" if self.get("use_sliding_window").and_then(Value::as_bool) == Some(true) => {
                let first = self.optional_size("max_window_layers")?.unwrap_or(28);
                Box::new(move |i| i >= first)
            }
            _ => Box::new(|_| false),
        };
        let layer = |i| if slides(i) { Layer::sliding(window, context) } else { Layer::full() };
        Ok((0..count).map(layer).collect())
    }

    /// RoPE of full and of sliding layers: `rope_parameters` (transformers 5, perhaps one a layer type), or
    /// `rope_theta`, `rope_local_base_freq` and `rope_scaling`.
    fn rope(&self, gemma: bool, head_dim: usize) -> Result<(Rope, Option<Rope>), ModelError> {
        if self.number("partial_rotary_factor")?.is_some_and(|f| f != 1.0) {
            return Err(ModelError::Unsupported("a partial rotary embedding".to_owned()));
        }
        let default_base = if gemma { 1e6 } else { 1e4 };
        if let Some(parameters) = self.get("rope_parameters") {
            if let Some(full) = parameters.get("full_attention") {
                let sliding = parameters.get("sliding_attention").unwrap_or(full);
                return Ok((one_rope(full, default_base, head_dim)?, Some(one_rope(sliding, 1e4, head_dim)?)));
            }
            let base = self.number("rope_theta")?.unwrap_or(default_base);
            return Ok((one_rope(parameters, base, head_dim)?, self.local_rope(gemma)?));
        }
        let base = self.number("rope_theta")?.unwrap_or(default_base);
        let null = Value::Null;
        let scaling = self.get("rope_scaling").unwrap_or(&null);
        Ok((one_rope(scaling, base, head_dim)?, self.local_rope(gemma)?))
    }

    /// The RoPE of Gemma's sliding layers, where no object of their own describes it.
    fn local_rope(&self, gemma: bool) -> Result<Option<Rope>, ModelError> {
        let base = self.number("rope_local_base_freq")?.unwrap_or(1e4) as f32;
        Ok(gemma.then_some(Rope { base, scaling: RopeScaling::None }))
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.json.get(key).filter(|v| !v.is_null())
    }

    fn number(&self, key: &str) -> Result<Option<f64>, ModelError> {
        number(self.json, key)
    }

    fn size(&self, key: &str) -> Result<usize, ModelError> {
        self.optional_size(key)?.ok_or_else(|| ModelError::Missing(key.to_owned()))
    }

    fn optional_size(&self, key: &str) -> Result<Option<usize>, ModelError> {
        let Some(value) = self.get(key) else {
            // A null means none, a missing key the default.
            return Ok(self.default_size(key).filter(|_| self.json.get(key).is_none()));
        };
        match value.as_u64().and_then(|v| usize::try_from(v).ok()) {
            Some(size) => Ok(Some(size)),
            None => Err(self.bad(key, value, "is not a whole number")),
        }
    }

    /// What transformers' configuration class says where `config.json` is silent: Gemma 3's is published with little in it.
    fn default_size(&self, key: &str) -> Option<usize> {
        match (self.architecture, key) {
            ("gemma3_text", "num_attention_heads") => Some(8),
            ("gemma3_text", "num_key_value_heads") => Some(4),
            ("gemma3_text", "head_dim") => Some(256),
            ("gemma3_text", "vocab_size") => Some(262_208),
            ("gemma3_text", "max_position_embeddings") => Some(131_072),
            ("gemma3_text", "sliding_window") => Some(4096),
            ("mistral", "num_key_value_heads") => Some(8),
            ("mistral" | "qwen2" | "qwen3", "sliding_window") => Some(4096),
            ("mistral", "max_position_embeddings") => Some(131_072),
            ("qwen2" | "qwen3", "max_position_embeddings") => Some(32_768),
            _ => None,
        }
    }

    fn bad(&self, key: &str, value: impl ToString, problem: &str) -> ModelError {
        ModelError::Value { key: key.to_owned(), value: value.to_string(), problem: problem.to_owned() }
    }
}

fn number(json: &Value, key: &str) -> Result<Option<f64>, ModelError> {
    match json.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or_else(|| ModelError::Value {
            key: key.to_owned(),
            value: value.to_string(),
            problem: "is not a number".to_owned(),
        }),
    }
}

/// A `rope_scaling` or `rope_parameters` object (or null).
fn one_rope(json: &Value, base: f64, head_dim: usize) -> Result<Rope, ModelError> {
    if !json.is_null() && !json.is_object() {
        let problem = "is not an object".to_owned();
        return Err(ModelError::Value { key: "rope_scaling".to_owned(), value: json.to_string(), problem });
    }
    if number(json, "partial_rotary_factor")?.is_some_and(|f| f != 1.0) {
        return Err(ModelError::Unsupported("a partial rotary embedding".to_owned()));
    }
    let base = number(json, "rope_theta")?.unwrap_or(base) as f32;
    let required = |key: &str| {
        number(json, key)?.map(|v| v as f32).ok_or_else(|| ModelError::Missing(format!("rope_scaling.{key}")))
    };
    let kind = json.get("rope_type").or_else(|| json.get("type")).and_then(Value::as_str).unwrap_or("default");
    let scaling = match kind {
        "default" => RopeScaling::None,
        "linear" => RopeScaling::Linear { factor: required("factor")? },
        "llama3" => RopeScaling::Llama3 {
            factor: required("factor")?,
            low_freq_factor: required("low_freq_factor")?,
            high_freq_factor: required("high_freq_factor")?,
            original_context: required("original_max_position_embeddings")?,
        },
        other => return Err(ModelError::Unsupported(format!("the RoPE scaling '{other}' (head size {head_dim})"))),
    };
    Ok(Rope { base, scaling })
}
