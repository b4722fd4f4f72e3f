//! All stories, in the order in which they are told.

mod bad_requests;
mod documents;
mod fields;
mod formats;
mod forms;
mod life;
mod lists;
mod managers;
mod ownership;
mod patches;
mod reviews;
mod subresources;

use crate::story::Story;

pub fn all() -> Vec<Story> {
    let chapters = [
        documents::stories(),
        bad_requests::stories(),
        lists::stories(),
        patches::stories(),
        ownership::stories(),
        managers::stories(),
        subresources::stories(),
        reviews::stories(),
        formats::stories(),
        forms::stories(),
        life::stories(),
        fields::stories(),
    ];
    chapters.into_iter().flatten().collect()
}
