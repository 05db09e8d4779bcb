// Reductions over a workgroup of WG threads (a power of two), in one fixed order; with `lanes` it is one subgroup.
@if(!lanes) import package::constants::WG;

@if(!lanes) var<workgroup> partials: array<f32, WG>;

// The sum of every thread's value, to every thread.
@if(lanes)
fn workgroup_sum(thread: u32, value: f32) -> f32 {
    return subgroupAdd(value);
}

@if(!lanes)
fn workgroup_sum(thread: u32, value: f32) -> f32 {
    partials[thread] = value;
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            partials[thread] += partials[thread + half];
        }
    }
    workgroupBarrier();
    return partials[0];
}
