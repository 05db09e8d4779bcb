//! Cases of `sample`.

use super::{Case, run_peaks};
use crate::kernels::run_peaks::RUN;
use crate::kernels::sample::{Draw, MAX_TOP_K, Params, Slices, dispatch};
use crate::verify::{Elements, Random, Tensor};

/// Rows of a case: each is a draw of its own.
const ROWS: usize = 24;

pub(super) fn push(cases: &mut Vec<Case>) {
    // More runs than threads, as many, fewer, and a row that ends within a run.
    for width in [50_257, 4_096, 1_000, 17, 1] {
        push_case(cases, ROWS, width, "greedy", |_, _| Draw::GREEDY, |_| {});
        push_case(cases, ROWS, width, "top-k", |_, unit| Draw::new(40, 1.0, 0.0, 1.0, unit), |_| {});
        push_case(cases, ROWS, width, "all filters", |_, unit| Draw::new(40, 0.9, 0.2, 0.8, unit), |_| {});
        push_case(cases, ROWS, width, "min-p", |_, unit| Draw::new(0, 1.0, 0.02, 1.5, unit), |_| {});
        push_case(cases, ROWS, width, "temperature", |_, unit| Draw::new(0, 1.0, 0.0, 3.0, unit), |_| {});
        push_case(cases, ROWS, width, "top-p", |_, unit| Draw::new(0, 0.9, 0.0, 0.8, unit), |_| {});
        push_case(cases, ROWS, width, "top-k beyond a list", |_, unit| Draw::new(100, 1.0, 0.0, 9.0, unit), |_| {});
        push_case(cases, ROWS, width, "all filters, no list", |_, unit| Draw::new(300, 0.8, 0.2, 5.0, unit), |_| {});
    }
    // Each row under another top-k, up to all that the kernel selects.
    let rising = |row: usize, unit| Draw::new(1 + row * (MAX_TOP_K - 1) / (ROWS - 1), 1.0, 0.0, 20.0, unit);
    push_case(cases, ROWS, 3_000, "rising top-k", rising, |_| {});
    let beyond = |row: usize, unit| Draw::new(MAX_TOP_K + 1 + 40 * row, 1.0, 0.0, 20.0, unit);
    push_case(cases, ROWS, 3_000, "rising top-k beyond a list", beyond, |_| {});
    let every_kind = |row: usize, unit| match row % 8 {
        0 => Draw::GREEDY,
        1 => Draw::new(40, 0.95, 0.05, 0.8, unit),
        2 => Draw::new(0, 1.0, 0.1, 2.0, unit),
        3 => Draw::new(MAX_TOP_K, 0.5, 0.0, 1.0, unit),
        4 => Draw::new(0, 0.9, 0.0, 0.8, unit),
        5 => Draw::new(0, 0.5, 0.05, 2.0, unit),
        6 => Draw::new(MAX_TOP_K + 1, 1.0, 0.0, 1.0, unit),
        _ => Draw::new(90, 0.7, 0.0, 3.0, unit),
    };
    push_case(cases, ROWS, 5_001, "every kind", every_kind, |_| {});
    // Neighbours: the best are all of one thread's runs.
    push_case(cases, ROWS, 9_000, "neighbours", every_kind, |row| {
        row[8_000..8_040].iter_mut().for_each(|v| *v += 10.0);
    });
    // The same of so many runs that a thread which shares them has several.
    let hot = |_: usize, unit| Draw::new(40, 1.0, 0.0, 20.0, unit);
    push_case(cases, ROWS, 140_000, "one thread's runs", hot, |row| {
        row.iter_mut().step_by(256 * RUN as usize).for_each(|v| *v += 10.0);
    });
    let warm = |_: usize, unit| Draw::new(MAX_TOP_K, 1.0, 0.0, 1.0, unit);
    push_case(cases, ROWS, 9_000, "ties", warm, |row| row.iter_mut().for_each(|v| *v = (*v / 4.0).round()));
    push_case(cases, ROWS, 300, "all equal", warm, |row| row.fill(-2.5));
    // The last of equal logits are not drawn. No product with the number of all is a whole number, where roundings decide.
    let cut = |row: usize, unit| match row % 3 {
        0 => Draw::new(0, 0.0413 * row as f32, 0.0, 7.0, unit),
        1 => Draw::new(80 + 60 * row, 1.0, 0.0, 7.0, unit),
        _ => Draw::new(80 + 60 * row, 0.0413 * row as f32, 0.0, 7.0, unit),
    };
    push_case(cases, ROWS, 9_000, "ties, no list", cut, |row| row.iter_mut().for_each(|v| *v = (*v / 4.0).round()));
    push_case(cases, ROWS, 900, "all equal, no list", cut, |row| row.fill(-2.5));
    push_case(
        cases,
        ROWS,
        300,
        "all equal, no top-k",
        |row, unit| Draw::new(0, 1.0, [0.5, 1.0][row % 2], 1.0, unit),
        |row| row.fill(1e30),
    );
    // The largest and the smallest numbers of [0, 1), where rounding may pass the last token.
    let ends = |row: usize, _| Draw::new([0, 8][row % 2], 1.0, 0.0, 50.0, [0.0, 0.999_999_94][row / 2 % 2]);
    push_case(cases, ROWS, 4_099, "the first and the last", ends, |_| {});
    let ends = |row: usize, _| Draw::new([0, 80][row % 2], 0.9, 0.0, 50.0, [0.0, 0.999_999_94][row / 2 % 2]);
    push_case(cases, ROWS, 4_099, "the first and the last of a nucleus", ends, |_| {});
    let cold = |row: usize, unit| Draw::new([0, 8, 80][row % 3], [1.0, 0.9][row / 3 % 2], 0.0, f32::MIN_POSITIVE, unit);
    push_case(cases, ROWS, 500, "no temperature", cold, |_| {});
    let nucleus = |row: usize, unit| Draw::new(30, [0.0, 0.3, 0.6, 0.999][row % 4], 0.0, 9.0, unit);
    push_case(cases, ROWS, 2_000, "the nucleus is the model's own", nucleus, |_| {});
    let nucleus = |row: usize, unit| Draw::new([0, 200][row / 4 % 2], [0.0, 0.3, 0.6, 0.999][row % 4], 0.0, 9.0, unit);
    push_case(cases, ROWS, 2_000, "the nucleus is the model's own, no list", nucleus, |_| {});
    // Ranks of both signs, and far apart.
    push_case(cases, ROWS, 2_000, "small logits", nucleus, |row| row.iter_mut().for_each(|v| *v = v.powi(9)));
    push_case(cases, ROWS, 2_000, "tiny logits", beyond, |row| row.iter_mut().for_each(|v| *v *= 1e-30));
    push_case(cases, ROWS, 700, "few are possible", every_kind, |row| {
        row.iter_mut().enumerate().filter(|(i, _)| i % 97 != 5).for_each(|(_, v)| *v = f32::NEG_INFINITY);
    });
    let narrow = |_: usize, unit| Draw::new(40, 1.0, 0.5, 50.0, unit);
    push_case(cases, ROWS, 700, "few are possible, and fewer likely", narrow, |row| {
        row.iter_mut().enumerate().for_each(|(i, v)| *v = if i % 97 == 5 { *v / 4.0 } else { f32::NEG_INFINITY });
    });
    let first = |row: usize, unit| Draw::new(0, [0.0, 0.5][row % 2], 0.0, 7.0, unit);
    push_case(cases, ROWS, 300, "all but one equal, no list", first, |row| {
        row.fill(row[0]);
        row[0] = f32::NEG_INFINITY;
    });
    push_case(cases, ROWS, 300, "all equal and large, no list", cut, |row| row.fill(1e30));
    let ends = |row: usize, _| Draw::new([0, 80][row % 2], 1.0, 0.0, 1e37, [0.0, 0.999_999_94][row / 2 % 2]);
    push_case(cases, ROWS, 700, "few are possible, and all far below 0", ends, |row| {
        row.iter_mut().enumerate().for_each(|(i, v)| *v = if i % 5 == 3 { -1e37 * v.abs() } else { f32::NEG_INFINITY });
    });
    push_case(cases, 8, 100, "NaN at the start", every_kind, |row| row[0] = f32::NAN);
    push_case(cases, ROWS, 300, "none is possible", every_kind, |row| row.fill(f32::NEG_INFINITY));
    push_case(cases, ROWS, 900, "zeros of both signs", warm, |row| {
        row.iter_mut().for_each(|v| *v = if *v > 0.0 { 0.0 } else { -0.0 });
    });
    for (name, fault) in [("NaN", f32::NAN), ("inf", f32::INFINITY)] {
        // In one row of the cases' many, wherever a width of its own puts it.
        push_case(cases, 16, 5_000, name, every_kind, move |row| {
            if row[0] > 0.0 {
                let at = row[0].to_bits() as usize % row.len();
                row[at] = fault;
            }
        });
    }
}

/// `draw` makes that of each row, from its number and a random one; `change` changes the logits of each row.
pub(crate) fn push_case(
    cases: &mut Vec<Case>,
    rows: usize,
    width: usize,
    what: &str,
    draw: impl Fn(usize, f32) -> Draw + Send + Sync + 'static,
    change: impl Fn(&mut [f32]) + Send + Sync + 'static,
) {
    let params = Params { rows: rows as u32, width: width as u32 };
    let tensors = move |random: &mut Random| {
        let mut logits = random.floats(rows * width, 8.0);
        logits.chunks_exact_mut(width).for_each(&change);
        let peaks = run_peaks::peaks(&logits, width);
        let units = random.floats(rows, 0.5).into_iter().map(|unit| unit + 0.5);
        let draws: Vec<Draw> = units.enumerate().map(|(row, unit)| draw(row, unit)).collect();
        vec![
            Tensor::f32("logits", logits),
            peaks,
            Tensor::u32("draws", bytemuck::cast_slice(&draws).to_vec()),
            Tensor::output("tokens", rows, Elements::U32),
        ]
    };
    cases.push(Case::new(format!("{rows} rows of {width}, {what}"), tensors, move |s| {
        dispatch(Slices { logits: s[0], peaks: s[1], draws: s[2], tokens: s[3] }, params)
    }));
}
