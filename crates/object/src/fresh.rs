//! Names for objects to be made, drawn from the view itself.
//!
//! The same view gives the same names, so planning twice on an old view makes nothing twice; any change of the owner or of what it
//! has gives others, so a replacement never takes the name of what it replaces.

use std::collections::BTreeSet;

use crate::names;

/// FNV-1a, 64 bits: stable over builds and machines.
#[derive(Clone, Copy, Debug)]
pub struct Seed(u64);

impl Default for Seed {
    fn default() -> Self {
        Seed::new()
    }
}

impl Seed {
    pub fn new() -> Self {
        Seed(0xcbf2_9ce4_8422_2325)
    }

    #[must_use]
    pub fn with(mut self, text: &str) -> Self {
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self
    }

    /// Spreads the low bits, from which names are drawn (splitmix64).
    fn drawn(self, i: u64) -> u64 {
        let mut x = self.0.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}

/// Names that begin with `base`, none taken, none twice.
pub fn fresh<'a>(base: &'a str, seed: Seed, is_taken: &'a dyn Fn(&str) -> bool) -> impl Iterator<Item = String> + 'a {
    let mut given = BTreeSet::new();
    (0..).map(move |i| names::generated(base, seed.drawn(i))).filter(move |name| !is_taken(name) && given.insert(name.clone()))
}
