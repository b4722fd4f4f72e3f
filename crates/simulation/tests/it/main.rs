mod command;
mod crowd;
mod scripts;
mod table;
