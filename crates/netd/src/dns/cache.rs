//! Answers of the host's resolvers, kept for as long as they say, and no longer than half a minute.
//!
//! The key is the question as it was sent, but for its id: who asks in the same words gets the same answer, and nothing of a
//! message has to be understood but its times to live.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::transport::Transport;

/// As upstream's configuration has it (`cache 30`).
const LIFE_MAX: Duration = Duration::from_secs(30);
/// With answers of a kilobyte, two megabytes.
const ANSWERS_MAX: usize = 2048;
/// Longer ones are rare, and asked for again.
const ANSWER_BYTES_MAX: usize = 4096;
const HEADER_BYTES: usize = 12;
const SOA: u16 = 6;
const OPT: u16 = 41;

type Key = (Vec<u8>, Transport);

#[derive(Default)]
pub(super) struct Cache(HashMap<Key, Kept>);

struct Kept {
    answer: Vec<u8>,
    ttl_places: Vec<usize>,
    kept_at: Instant,
    until: Instant,
}

impl Cache {
    /// With the id of this question, and with the time that is left.
    pub(super) fn get(&self, question: &[u8], transport: Transport, now: Instant) -> Option<Vec<u8>> {
        let kept = self.0.get(&key(question, transport)?).filter(|kept| now < kept.until)?;
        let age = u32::try_from((now - kept.kept_at).as_secs()).unwrap_or(u32::MAX);
        let mut answer = kept.answer.clone();
        answer[..2].copy_from_slice(&question[..2]);
        for place in &kept.ttl_places {
            let left = read_u32(&answer, *place)?.saturating_sub(age);
            answer[*place..place + 4].copy_from_slice(&left.to_be_bytes());
        }
        Some(answer)
    }

    pub(super) fn keep(&mut self, question: &[u8], transport: Transport, answer: &[u8], now: Instant) {
        let (Some(key), Some(times)) = (key(question, transport), times(answer)) else { return };
        let life = Duration::from_secs(times.life_seconds.into()).min(LIFE_MAX);
        if life.is_zero() || answer.len() > ANSWER_BYTES_MAX {
            return;
        }
        if self.0.len() >= ANSWERS_MAX {
            self.0.retain(|_, kept| now < kept.until);
        }
        // A flood of names nobody asks for twice must not cost more than this; half a minute later there is room again.
        if self.0.len() < ANSWERS_MAX {
            self.0.insert(key, Kept { answer: answer.to_vec(), ttl_places: times.places, kept_at: now, until: now + life });
        }
    }
}

fn key(question: &[u8], transport: Transport) -> Option<Key> {
    Some((question.get(2..)?.to_vec(), transport))
}

struct Times {
    life_seconds: u32,
    /// Where in the message each record's time stands.
    places: Vec<usize>,
}

/// `None` for what is not to be kept: failures, cut answers, and messages that are not whole.
fn times(message: &[u8]) -> Option<Times> {
    let is_cut = message.get(2)? & 0x02 != 0;
    let code = message.get(3)? & 0x0f;
    let count = |at: usize| read_u16(message, at).map(usize::from);
    let (n_questions, n_answers, n_authorities, n_others) = (count(4)?, count(6)?, count(8)?, count(10)?);
    if is_cut || !matches!(code, 0 | 3) {
        return None;
    }
    let mut at = HEADER_BYTES;
    for _ in 0..n_questions {
        at = after_name(message, at)? + 4;
    }
    let mut times = Times { life_seconds: u32::MAX, places: Vec::new() };
    let mut is_told = n_answers > 0;
    for i in 0..n_answers + n_authorities + n_others {
        let fixed = after_name(message, at)?;
        let (kind, ttl, len) = (read_u16(message, fixed)?, read_u32(message, fixed + 4)?, read_u16(message, fixed + 8)?);
        let data = fixed + 10;
        at = data + usize::from(len);
        message.get(data..at)?;
        if kind == OPT {
            continue;
        }
        times.places.push(fixed + 4);
        times.life_seconds = times.life_seconds.min(ttl);
        // That there is nothing holds for as long as the zone's SOA says in its last field (RFC 2308).
        if kind == SOA && n_answers == 0 && i < n_authorities {
            times.life_seconds = times.life_seconds.min(read_u32(message, at.checked_sub(4)?)?);
            is_told = true;
        }
    }
    is_told.then_some(times)
}

/// Labels up to the root, or up to a pointer to the rest.
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            len if len & 0xc0 == 0xc0 => return Some(at + 2),
            len => at += 1 + usize::from(len),
        }
    }
}

fn read_u16(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?))
}

fn read_u32(message: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(message.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
    use hickory_proto::rr::rdata::{A, SOA};
    use hickory_proto::rr::{Name, RData, Record, RecordType};

    use super::*;

    fn name() -> Name {
        Name::from_ascii("example.org.").unwrap()
    }

    fn question(id: u16) -> Vec<u8> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(name(), RecordType::A));
        message.to_vec().unwrap()
    }

    /// Seconds for which an answer is kept; `None` when it is not.
    fn check(code: ResponseCode, answer_ttls: &[u32], soa: Option<(u32, u32)>, expected: Option<u64>) {
        let mut message = Message::new(7, MessageType::Response, OpCode::Query);
        message.metadata.response_code = code;
        message.add_query(Query::query(name(), RecordType::A));
        for ttl in answer_ttls {
            message.add_answer(Record::from_rdata(name(), *ttl, RData::A(A::new(192, 0, 2, 1))));
        }
        if let Some((ttl, minimum)) = soa {
            message.add_authority(Record::from_rdata(name(), ttl, RData::SOA(SOA::new(name(), name(), 1, 2, 3, 4, minimum))));
        }
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.keep(&question(7), Transport::Udp, &message.to_vec().unwrap(), now);
        let at = |seconds: u64| cache.get(&question(9), Transport::Udp, now + Duration::from_secs(seconds));
        let Some(life) = expected else { return assert_eq!(at(0), None) };
        let late = Message::from_vec(&at(life - 1).expect("kept until then")).unwrap();
        assert_eq!(late.metadata.id, 9);
        for (record, ttl) in late.answers.iter().zip(answer_ttls) {
            assert_eq!(u64::from(record.ttl), u64::from(*ttl) - (life - 1));
        }
        assert_eq!(at(life), None);
        assert_eq!(cache.get(&question(9), Transport::Tcp, now), None);
    }

    #[tokio::test]
    async fn answers_are_kept_as_long_as_they_say() {
        check(ResponseCode::NoError, &[20, 10], None, Some(10));
        check(ResponseCode::NoError, &[3600], None, Some(30));
        check(ResponseCode::NoError, &[0], None, None);
        check(ResponseCode::NXDomain, &[], Some((60, 5)), Some(5));
        check(ResponseCode::NoError, &[], Some((4, 60)), Some(4));
        check(ResponseCode::NXDomain, &[], None, None);
        check(ResponseCode::ServFail, &[], Some((60, 60)), None);
    }

    #[tokio::test]
    async fn messages_that_are_not_whole_are_not_kept() {
        let mut message = Message::new(7, MessageType::Response, OpCode::Query);
        message.add_query(Query::query(name(), RecordType::A));
        message.add_answer(Record::from_rdata(name(), 20, RData::A(A::new(192, 0, 2, 1))));
        let whole = message.to_vec().unwrap();
        for len in 0..whole.len() {
            assert!(times(&whole[..len]).is_none(), "{len} bytes");
        }
        assert!(times(&whole).is_some());
    }
}
