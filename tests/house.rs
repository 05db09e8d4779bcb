//! Rules of the house: what must exist for every kernel.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use wgpt::kernels::{AdapterFacts, AdapterKind, Selection, shader};
use wgpt::reference::TWINS;
use wgpt::verify::cases;

/// An adapter on which every variant runs.
fn everything() -> Selection {
    Selection::for_adapter(&AdapterFacts {
        kind: AdapterKind::Software,
        subgroups: true,
        subgroup_sizes: (8, 8),
        int64: true,
        texels: true,
        f16: true,
        packed_dot: true,
        matrices: [true; 2],
    })
}

/// The stems of the files of a folder.
fn stems(folder: &str, extension: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_shader_has_its_host_side_its_twin_and_its_cases() {
    let shaders = stems("shaders", "wgsl");
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    assert!(!shaders.is_empty());
    assert_eq!(shaders, owned(shader::KERNELS.iter().map(|k| k.0).collect()), "shaders/ and kernels::shader::KERNELS");
    assert_eq!(shaders, owned(TWINS.iter().map(|t| t.0).collect()), "shaders/ and reference::TWINS");
    assert_eq!(
        shaders,
        owned(cases(&everything()).iter().map(|c| c.program.kernel).collect()),
        "shaders/ and the cases"
    );
    for folder in ["src/kernels", "src/reference"] {
        let missing: Vec<_> = shaders.difference(&stems(folder, "rs")).cloned().collect();
        assert!(missing.is_empty(), "{folder} lacks {missing:?}");
    }
}

#[test]
fn case_names_are_distinct() {
    let mut seen = HashSet::new();
    for case in cases(&everything()) {
        assert!(seen.insert(case.to_string()), "twice in the list: {case}");
    }
}

#[test]
fn every_variant_and_storage_type_is_in_the_case_list() {
    let cases = cases(&everything());
    let programs: HashSet<_> = cases.iter().map(|c| (c.program.kernel, c.program.variant, c.program.weights)).collect();
    let of_codes = [
        ("matmul_dot4", "tile64"),
        ("matmul_dot4", "tile32"),
        ("matvec_dot4", "workgroup"),
        ("matvec_dot4", "subgroup"),
        ("matvec_lanes", "rounded"),
    ];
    for weights in stems("shaders/codes", "wgsl") {
        for (kernel, variant) in of_codes {
            let found = programs.iter().any(|p| *p == (kernel, variant, weights.as_str()));
            assert!(found, "no case of {kernel}/{variant} with {weights}");
        }
    }
    for weights in stems("shaders/weights", "wgsl") {
        for (kernel, variant) in [
            ("embed", "base"),
            ("matmul", "tile64"),
            ("matmul", "tile32"),
            ("matmul_coop", "block64"),
            ("matmul_coop", "block128"),
            ("matmul_f16", "rows64"),
            ("matmul_f16", "rows128"),
            ("matmul_lanes", "rows8"),
            ("matmul_lanes", "rows16"),
            ("matvec", "workgroup"),
            ("matvec", "subgroup"),
            ("matvec_lanes", "base"),
        ] {
            let found = programs.iter().any(|p| *p == (kernel, variant, weights.as_str()));
            assert!(found, "no case of {kernel}/{variant} with {weights}");
        }
    }
}

#[test]
fn every_variant_has_cases_near_the_start_of_a_buffer_and_far_into_it() {
    let mut offsets = std::collections::BTreeMap::new();
    for case in cases(&everything()) {
        let key = (case.program.kernel, case.program.variant);
        offsets.entry(key).or_insert_with(BTreeSet::new).insert(case.offset());
    }
    for (variant, offsets) in offsets {
        assert!(offsets.iter().all(|offset| *offset > 0 && offset.is_multiple_of(256)), "{variant:?}: {offsets:?}");
        let far = offsets.iter().any(|offset| *offset > 1 << 16);
        assert!(far && offsets.len() == 2, "{variant:?} has cases at {offsets:?} only");
    }
}
