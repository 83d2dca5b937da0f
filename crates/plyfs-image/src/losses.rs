//! What is lost on the way in, said in words while there is room for them: a small archive may lose a lot.

/// How many bytes of words are said of all images of one load together.
const WORDS_MOST: usize = 4 << 20;

/// The room for words that is left.
#[derive(Debug)]
pub(crate) struct Room(usize);

impl Room {
    /// What one load has.
    pub(crate) fn whole() -> Self {
        Self(WORDS_MOST)
    }

    /// What is left beside words that were said.
    pub(crate) fn beside<'a>(said: impl Iterator<Item = &'a String>) -> Self {
        Self(WORDS_MOST.saturating_sub(said.map(|words| cost(words)).sum()))
    }

    /// The first losses in words, as many as there is room for; one that does not fit takes all of it.
    pub(crate) fn say<T: ToString>(&mut self, lost: &[T]) -> Vec<String> {
        let fit = |lost: &T| {
            let words = (self.0 > 0).then(|| lost.to_string())?;
            let left = self.0.checked_sub(cost(&words));
            self.0 = left.unwrap_or_default();
            left.map(|_| words)
        };
        lost.iter().map_while(fit).collect()
    }
}

fn cost(words: &str) -> usize {
    size_of::<String>() + words.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_said_while_there_is_room_and_then_no_more() {
        let mut room = Room(2 * cost("one"));
        assert_eq!(room.say(&["one", "two"]), ["one", "two"]);
        let mut room = Room(2 * cost("one"));
        assert_eq!(room.say(&["one", "three", "two"]), ["one"], "in their order, without gaps");
        assert!(room.say(&["x"]).is_empty() && room.0 == 0, "what comes later finds no room either");
    }

    #[test]
    fn what_was_said_before_takes_its_room() {
        let said = ["x".repeat(WORDS_MOST - 100)];
        assert_eq!(Room::beside(said.iter()).0, 100 - size_of::<String>());
        assert_eq!(Room::beside(said.iter().chain(&said)).0, 0);
    }
}
