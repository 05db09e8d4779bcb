//! Runs wgml for compare.py: a request a line on stdin, a figure a line on stdout.
//!
//! A request is `{"prompt": P, "generate": G, "depth": D}`, as llama-bench has them: behind D tokens, the time of P prompt
//! tokens (if P > 0), or of G tokens generated one by one. wgml computes each token of a prompt in a step of its own, reads the
//! logits of each back, and holds the weights in f32; its own example generates like this. It turns by RoPE's first base
//! whatever the model says, so that only its speed can be compared, not its text.

use std::env;
use std::fs::File;
use std::io::{self, BufRead};
use std::time::Instant;

use anyhow::{Context, bail};
use memmap2::Mmap;
use serde_json::{Value, json};
use wgcore::kernel::KernelInvocationQueue;
use wgml::gguf::Gguf;
use wgml::models::llama2::cpu::{Llama2Config, TransformerWeights};
use wgml::models::llama2::{Llama2, Llama2State, Llama2Weights};
use wgml::ops::{BatchedMultiqueryAttentionParams, RoPEShape};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [model, context, device] = &arguments[..] else { bail!("MODEL.gguf, its context and the device's name") };
    let mut engine = Engine::load(model, context.parse()?, device)?;
    println!("{}", json!({ "devices": [engine.name] }));
    for line in io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let count = |key: &str| request[key].as_u64().unwrap_or(0) as usize;
        let (prompt, generate, depth) = (count("prompt"), count("generate"), count("depth"));
        engine.steps(0, depth)?;
        let started = Instant::now();
        engine.steps(depth, prompt + generate)?;
        let tokens_per_second = (prompt + generate) as f64 / started.elapsed().as_secs_f64();
        println!("{}", json!({ "tokens_per_second": tokens_per_second }));
    }
    Ok(())
}

struct Engine {
    name: String,
    device: wgpu::Device,
    queue: wgpu::Queue,
    config: Llama2Config,
    weights: Llama2Weights,
    model: Llama2,
    state: Llama2State,
}

impl Engine {
    fn load(path: &str, context: usize, device: &str) -> anyhow::Result<Engine> {
        // wgml's own set-up wants bindings of a gigabyte, which software adapters do not have.
        let instance = wgpu::Instance::default();
        let adapters = instance.enumerate_adapters(wgpu::Backends::VULKAN);
        let named = |adapter: &wgpu::Adapter| adapter.get_info().name.contains(device);
        let adapter = adapters.into_iter().find(named).context("there is no such Vulkan device")?;
        let descriptor = wgpu::DeviceDescriptor { required_limits: adapter.limits(), ..Default::default() };
        let name = adapter.get_info().name;
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor, None))?;

        let file = File::open(path)?;
        // SAFETY: nobody writes to the file of a model while it is read.
        let file = unsafe { Mmap::map(&file)? };
        let gguf = Gguf::from_bytes(&file).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        if !gguf.metadata.contains_key("llama.block_count") {
            bail!("wgml runs the family 'llama' only");
        }
        let config = Llama2Config { seq_len: context, ..Llama2Config::from_gguf(&gguf) };
        let weights = Llama2Weights::from_ram(&device, &TransformerWeights::from_gguf(&config, &gguf));
        let model = Llama2::new(&device)?;
        let state = Llama2State::new(&device, &config);
        Ok(Engine { name, device, queue, config, weights, model, state })
    }

    /// Computes so many tokens from a position on.
    fn steps(&mut self, position: usize, count: usize) -> anyhow::Result<()> {
        let mut token = 1000;
        for position in position..position + count {
            let logits = self.step(token, position)?;
            token = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap_or(0);
        }
        Ok(())
    }

    /// The logits behind a token.
    fn step(&self, token: usize, position: usize) -> anyhow::Result<Vec<f32>> {
        let Llama2Config { dim, n_q_heads, n_kv_heads, seq_len, .. } = self.config;
        let (kv_dim, head_size) = ((dim * n_kv_heads / n_q_heads) as u32, (dim / n_q_heads) as u32);
        let rope = RoPEShape { head_size, kv_dim, pos: position as u32 };
        let attention = BatchedMultiqueryAttentionParams {
            seq_len: seq_len as u32,
            kv_dim,
            kv_mul: (n_q_heads / n_kv_heads) as u32,
            n_heads: n_q_heads as u32,
            head_size,
            pos: position as u32,
        };
        let mut kernels = KernelInvocationQueue::new(&self.device);
        self.model.queue(&mut kernels, &self.state, &self.weights, &self.config, position as u32);
        self.queue.write_buffer(self.state.rope_shape().buffer(), 0, bytemuck::bytes_of(&rope));
        self.queue.write_buffer(self.state.attn_params().buffer(), 0, bytemuck::bytes_of(&attention));
        let mut encoder = self.device.create_command_encoder(&Default::default());
        self.state.x.copy_from_view(&mut encoder, self.weights.token_embd.column(token as u32));
        kernels.encode(&mut encoder, None);
        self.state.logits_readback().copy_from(&mut encoder, self.state.logits());
        self.queue.submit(Some(encoder.finish()));
        pollster::block_on(self.state.logits_readback().read(&self.device))
    }
}
