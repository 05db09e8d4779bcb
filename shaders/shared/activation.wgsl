// The activations of the feed-forward network's gate: SiLU, or GELU in its tanh form (Hendrycks & Gimpel 2016).

@if(gelu)
fn activate(v: vec4<f32>) -> vec4<f32> {
    // tanh(u) as 1 - 2 / (exp(2u) + 1), which cannot overflow into NaN as some drivers' tanh does.
    let u = 0.7978845608028654 * (v + 0.044715 * v * v * v);
    let t = 1.0 - 2.0 / (exp(min(2.0 * u, vec4<f32>(80.0))) + 1.0);
    return 0.5 * v * (1.0 + t);
}

@if(!gelu)
fn activate(v: vec4<f32>) -> vec4<f32> {
    return v / (1.0 + exp(min(-v, vec4<f32>(80.0))));
}
