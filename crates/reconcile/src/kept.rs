//! How a cache keeps one object: as its view while somebody asks for it, and packed as text where nobody does.
//!
//! A typed pod takes ten times the memory of its text, and most pods of a large cluster are asked for once in hours. Only kinds
//! that `Informers::keep_packed` names are packed.
//!
//! ```text
//!  put --> packed --asked, wakes the sweeper--> loose --not asked between two sweeps--> packed
//!          put over a loose one --> loose
//! ```

use std::sync::{Arc, Mutex};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::lock::locked;

/// How objects of one kind are packed.
pub(crate) struct Packing<K> {
    /// Drops what nobody reads.
    pub(crate) trim: fn(&mut K),
    pack: fn(&K) -> Box<[u8]>,
    unpack: fn(&[u8]) -> K,
}

impl<K> Clone for Packing<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Packing<K> {}

impl<K: Serialize + DeserializeOwned> Packing<K> {
    pub(crate) fn new(trim: fn(&mut K)) -> Self {
        // The text is copied once more to have just its length.
        let pack = |object: &K| Box::from(serde_json::to_vec(object).expect("a view is always JSON").as_slice());
        let unpack = |text: &[u8]| serde_json::from_slice(text).expect("it was written from the same view");
        Packing { trim, pack, unpack }
    }
}

pub(crate) enum Kept<K> {
    /// Of a kind that is never packed.
    Whole(Arc<K>),
    Either(Mutex<Form<K>>),
}

pub(crate) enum Form<K> {
    Loose { object: Arc<K>, is_asked: bool },
    Packed { text: Box<[u8]>, unpack: fn(&[u8]) -> K },
}

impl<K> Kept<K> {
    /// Keeps what comes in place of `old`: whoever asked for that will ask for this.
    pub(crate) fn new(object: &Arc<K>, old: Option<&Kept<K>>, packing: Option<Packing<K>>) -> Self {
        let Some(packing) = packing else { return Kept::Whole(Arc::clone(object)) };
        let was_asked = match old {
            Some(Kept::Either(form)) => match &*locked(form) {
                Form::Loose { is_asked, .. } => Some(*is_asked),
                Form::Packed { .. } => None,
            },
            _ => None,
        };
        Kept::Either(Mutex::new(match was_asked {
            Some(is_asked) => Form::Loose { object: Arc::clone(object), is_asked },
            None => packing.packed(object),
        }))
    }

    /// `loosened` hears of what was packed and is not any more.
    pub(crate) fn object(&self, loosened: &Notify) -> Arc<K> {
        let mut form = match self {
            Kept::Whole(object) => return Arc::clone(object),
            Kept::Either(form) => locked(form),
        };
        match &mut *form {
            Form::Loose { object, is_asked } => {
                *is_asked = true;
                Arc::clone(object)
            }
            Form::Packed { text, unpack } => {
                let object = Arc::new(unpack(text));
                *form = Form::Loose { object: Arc::clone(&object), is_asked: true };
                loosened.notify_one();
                object
            }
        }
    }

    /// The object for a look that says nothing of later ones.
    pub(crate) fn peek(&self) -> Arc<K> {
        match self {
            Kept::Whole(object) => Arc::clone(object),
            Kept::Either(form) => match &*locked(form) {
                Form::Loose { object, .. } => Arc::clone(object),
                Form::Packed { text, unpack } => Arc::new(unpack(text)),
            },
        }
    }

    /// Packs what was not asked for since this was last called; answers whether it is loose still.
    pub(crate) fn pack_unless_asked(&self, packing: Packing<K>) -> bool {
        let Kept::Either(form) = self else { return false };
        let mut form = locked(form);
        let Form::Loose { object, is_asked } = &mut *form else { return false };
        if std::mem::take(is_asked) {
            return true;
        }
        let packed = packing.packed(object);
        *form = packed;
        false
    }

    #[cfg(test)]
    fn is_packed(&self) -> bool {
        matches!(self, Kept::Either(form) if matches!(&*locked(form), Form::Packed { .. }))
    }
}

impl<K> Packing<K> {
    fn packed(self, object: &K) -> Form<K> {
        Form::Packed { text: (self.pack)(object), unpack: self.unpack }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asks_for_is_packed() {
        let packing = Packing::new(|_: &mut String| {});
        let loosened = Notify::new();
        let is_woken = || futures_util::FutureExt::now_or_never(loosened.notified()).is_some();
        let kept = Kept::new(&Arc::new("web".to_owned()), None, Some(packing));
        assert_eq!(*kept.peek(), "web");
        assert!(kept.is_packed() && !is_woken());
        assert_eq!(*kept.object(&loosened), "web");
        assert!(is_woken(), "there is something to pack");
        assert!(kept.pack_unless_asked(packing), "it was asked for since");
        let newer = Kept::new(&Arc::new("new".to_owned()), Some(&kept), Some(packing));
        assert!(!newer.is_packed(), "whoever asked for the old one asks for the new one");
        assert_eq!(*kept.peek(), "web");
        assert!(!kept.pack_unless_asked(packing));
        assert!(kept.is_packed() && !is_woken());
        let never = Kept::new(&Arc::new("web".to_owned()), None, None);
        assert!(!never.is_packed());
    }
}
