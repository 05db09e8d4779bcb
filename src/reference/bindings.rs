//! A dispatch's bindings as typed host slices.

use bytemuck::{AnyBitPattern, NoUninit};

use crate::recording::{Dispatch, MAX_BINDINGS};

/// What a twin can refuse: always a mistake of whoever made the dispatch or its index tables.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TwinError {
    #[error(
        "binding {0} is not bound, or not with the access that the kernel needs; bind it as the kernel's `dispatch` does"
    )]
    Unbound(u32),
    #[error("binding {index} holds {has} elements where the parameters need {needs}; bind a longer slice")]
    TooShort { index: u32, has: usize, needs: usize },
    #[error("{what} is {value}, which is not below {limit}; correct the table that names it")]
    OutOfRange { what: &'static str, value: usize, limit: usize },
    #[error("the parameters are {has} bytes, and the kernel's are {needs}; use the kernel's own `Params`")]
    Parameters { has: usize, needs: usize },
    #[error("{0}")]
    Shape(&'static str),
    #[error("two bindings of one buffer overlap, or one of them is read-only; use separate buffers")]
    Aliased,
}

/// Host memory behind one binding.
pub(super) enum View<'a> {
    Read(&'a [u32]),
    Write(&'a mut [u32]),
}

/// Host memory behind the bindings of one dispatch. Each can be taken once.
#[derive(Default)]
pub struct Bindings<'a> {
    views: [Option<View<'a>>; MAX_BINDINGS],
}

impl<'a> Bindings<'a> {
    /// Puts a view at a binding number.
    pub(super) fn insert(&mut self, index: u32, view: View<'a>) -> Result<(), TwinError> {
        *self.views.get_mut(index as usize).ok_or(TwinError::Unbound(index))? = Some(view);
        Ok(())
    }

    fn take(&mut self, index: u32) -> Result<View<'a>, TwinError> {
        self.views.get_mut(index as usize).and_then(Option::take).ok_or(TwinError::Unbound(index))
    }

    /// The first `count` elements of a read-only binding.
    pub(super) fn read<T: AnyBitPattern>(&mut self, index: u32, count: usize) -> Result<&'a [T], TwinError> {
        let all = self.read_all(index)?;
        all.get(..count).ok_or(TwinError::TooShort { index, has: all.len(), needs: count })
    }

    /// Every whole element of a read-only binding.
    pub(super) fn read_all<T: AnyBitPattern>(&mut self, index: u32) -> Result<&'a [T], TwinError> {
        let View::Read(words) = self.take(index)? else { return Err(TwinError::Unbound(index)) };
        Ok(bytemuck::cast_slice(whole::<T, _>(words, words.len())))
    }

    /// The first `count` elements of a writable binding.
    pub(super) fn write<T: AnyBitPattern + NoUninit>(
        &mut self,
        index: u32,
        count: usize,
    ) -> Result<&'a mut [T], TwinError> {
        let all = self.write_all(index)?;
        let has = all.len();
        all.get_mut(..count).ok_or(TwinError::TooShort { index, has, needs: count })
    }

    /// Every whole element of a writable binding.
    pub(super) fn write_all<T: AnyBitPattern + NoUninit>(&mut self, index: u32) -> Result<&'a mut [T], TwinError> {
        let View::Write(words) = self.take(index)? else { return Err(TwinError::Unbound(index)) };
        let whole = words.len() - words.len() % (size_of::<T>() / 4).max(1);
        Ok(bytemuck::cast_slice_mut(&mut words[..whole]))
    }
}

/// Cuts words to a whole number of `T`.
fn whole<T, S: AsRef<[u32]> + ?Sized>(words: &S, len: usize) -> &[u32] {
    &words.as_ref()[..len - len % (size_of::<T>() / 4).max(1)]
}

/// The dispatch's parameters as the kernel's struct.
pub(super) fn params<P: bytemuck::Pod>(dispatch: &Dispatch) -> Result<P, TwinError> {
    let has = dispatch.param_bytes().len();
    if has != size_of::<P>() {
        return Err(TwinError::Parameters { has, needs: size_of::<P>() });
    }
    Ok(dispatch.params())
}

/// A constant that the program fixes.
pub(super) fn constant(dispatch: &Dispatch, name: &str) -> Result<usize, TwinError> {
    let found = dispatch.program.constants().find(|constant| constant.0 == name);
    found.map(|constant| constant.1 as usize).ok_or(TwinError::Shape("the program fixes no such constant"))
}

/// `value` where it is below `limit`.
pub(super) fn below(what: &'static str, value: usize, limit: usize) -> Result<usize, TwinError> {
    if value < limit { Ok(value) } else { Err(TwinError::OutOfRange { what, value, limit }) }
}

/// Cuts every buffer that the dispatch binds into views. Like wgpu, refuses a buffer that is bound for reading and for
/// writing at once; unlike wgpu, also writable ranges that overlap.
pub(super) fn resolve<'a>(buffers: &'a mut [Vec<u32>], dispatch: &Dispatch) -> Result<Bindings<'a>, TwinError> {
    let mut bindings = Bindings::default();
    for (id, buffer) in buffers.iter_mut().enumerate() {
        let mut here: Vec<_> = dispatch.bindings().iter().filter(|b| b.slice.buffer.0 as usize == id).collect();
        let too_short = |index, has| TwinError::TooShort { index, has, needs: has + 1 };
        if here.iter().all(|b| !b.access.writes()) {
            let words: &'a [u32] = buffer;
            for b in here {
                let (first, count) = word_range(b.slice);
                let view = words.get(first..first + count).ok_or_else(|| too_short(b.index, words.len()))?;
                bindings.insert(b.index, View::Read(view))?;
            }
            continue;
        }
        here.sort_by_key(|b| b.slice.offset);
        let mut rest: &'a mut [u32] = buffer;
        let mut start = 0;
        for b in here {
            let (first, count) = word_range(b.slice);
            if !b.access.writes() || first < start {
                return Err(TwinError::Aliased);
            }
            let (skip, has) = (first - start, rest.len());
            let tail = rest.get_mut(skip..).ok_or_else(|| too_short(b.index, has))?;
            let (view, tail) = tail.split_at_mut_checked(count).ok_or_else(|| too_short(b.index, has))?;
            bindings.insert(b.index, View::Write(view))?;
            rest = tail;
            start = first + count;
        }
    }
    Ok(bindings)
}

/// First word and number of words of a slice.
fn word_range(slice: crate::recording::Slice) -> (usize, usize) {
    ((slice.offset / 4) as usize, (slice.size / 4) as usize)
}
